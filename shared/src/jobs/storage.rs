//! apalis's PostgreSQL storage without its decoding: a payload that cannot be decoded would end the worker there, at
//! every restart again. Here it reaches the handler as bytes, and ends as one dead job.

use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::worker::context::WorkerContext;
use apalis_postgres::{Config, Error, PgTask, PostgresStorage};

#[derive(Debug)]
pub(super) struct RawStorage<B>(pub(super) B);

impl<B: Backend<Task = PgTask, Error = Error>> Backend for RawStorage<B> {
    type Task = PgTask;
    type Error = Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx, worker)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Option<Result<PgTask, Error>>> {
        self.0.poll_next(cx, worker)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Error>> {
        self.0.poll_close(cx, worker)
    }
}

impl<B: BackendConfig<Config = Config, Layer = <PostgresStorage<()> as BackendConfig>::Layer>> BackendConfig
    for RawStorage<B>
{
    type Args = Vec<u8>;
    type Id = B::Id;
    type Kind = Ephemeral;
    type Config = Config;
    type Layer = B::Layer;

    fn config(&self) -> &Config {
        self.0.config()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        self.0.middleware(worker)
    }
}
