//! The REST service as its clients see it: on a real socket, over a real database.

mod app;
mod auth;
mod bodies;
mod checkpoint_results;
mod console_logs;
mod document;
mod errors;
mod events;
mod limits;
mod openapi;
mod ops;
mod parameters;
mod schedules;
mod shape;
mod slow_clients;
mod spec_examples;
mod tenancy;
mod test_cases;
mod test_run_items;
mod test_run_results;
mod test_runs;
mod test_step_results;
mod websocket;
mod world;
