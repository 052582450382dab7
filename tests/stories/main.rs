//! Stories of users, told to the real programs as processes, on a real PostgreSQL and with a real mail server.

mod agent;
#[path = "../chaos/mod.rs"]
mod chaos;
mod data_driven;
mod fleet;
mod health;
mod logs;
mod mails;
mod manual_run;
mod many_schedules;
mod notice_chaos;
mod operations;
mod programs;
mod replay;
mod retries;
mod schedule_chaos;
mod scheduled_run;
mod scheduler_outage;
mod service_chaos;
mod settings;
mod setup;
mod standalone;
mod systemd;
mod webhook_mails;
mod worker_crash;
mod world;
mod wrong_clocks;
