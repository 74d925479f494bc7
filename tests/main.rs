//! The one integration binary: each further one would link everything again.

mod support;

mod http;
mod kill_every_record;
mod kill_random;
mod rooms;
