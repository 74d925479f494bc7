//! The store as a whole, on files, in memory and on backends that fail.

mod basics;
