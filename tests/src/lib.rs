//! What the end-to-end stories share: `JUnit` reports of public test suites, and their replay against a running server.
//!
//! Nothing here touches the server's crates: a replay knows only the public REST API, as any other client does.

pub mod agent;
pub mod junit;
pub mod replay;
