//! Stories of users, told to the real programs as processes, on a real PostgreSQL and with a real mail server.

mod data_driven;
mod fleet;
mod manual_run;
mod programs;
mod replay;
mod retries;
mod scheduled_run;
mod settings;
mod setup;
mod standalone;
mod worker_crash;
mod world;
