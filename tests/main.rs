//! The one integration binary: each further one would link everything again.
// What a test cannot set up, it may die of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

mod added;
mod agents;
mod approvals;
mod asynchronous;
mod backup;
mod bridges;
mod cancel;
mod check;
mod children;
#[cfg(target_os = "linux")]
mod corpus;
mod data_folder;
mod demo;
mod desk;
mod divergence;
mod environment;
mod export;
mod files;
#[cfg(target_os = "linux")]
mod full_disk;
mod guide;
mod hostile;
mod http;
mod install;
mod kill_every_record;
mod kill_random;
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod model_tools;
mod models;
mod models_desk;
#[cfg(target_os = "linux")]
mod move_tasks;
mod neighbours;
mod partial_results;
mod patterns;
mod polling;
mod projects;
mod question_kills;
mod questions;
mod refusals;
mod registry;
mod retention;
mod revocation;
mod rogues;
mod rooms;
mod sampling;
mod schemas;
mod secrets;
mod servers;
mod signatures;
#[cfg(target_os = "linux")]
mod sleepers;
mod start;
mod state;
mod steps;
mod streams;
mod suspend;
mod tls;
mod tokens;
mod uploads;
#[cfg(target_os = "linux")]
mod walls;
mod watch;
#[cfg(target_os = "linux")]
mod workers;
mod working_folder;
