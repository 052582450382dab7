//! Tests of what the services share, against a real PostgreSQL: a database for each test.

mod deliveries;
mod due_scan;
mod finalise;
mod fires;
mod items;
mod jobs;
mod migrations;
mod outages;
mod races;
mod refresh;
mod refusals;
mod report;
mod results;
mod retries;
mod runner;
mod runs;
mod schedule_races;
mod scheduled_runs;
mod schedules;
mod schema;
mod sweep;
mod tokens;
mod twice;
mod workers;
mod world;
mod zone_data;
