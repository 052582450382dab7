//! Every metric of every program, in one place: `docs/operations.md` has the same list with what is alarming, and tests
//! compare the two with each other and with the calls in the source.

/// What a metric counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are distributed, in buckets.
    Histogram,
}

impl Kind {
    /// The kind as the documentation calls it, and the macro that records it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; the end names the unit.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order of the alphabet.
    pub labels: &'static [&'static str],
    /// What it says, for `/metrics`.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

/// All of them, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    counter("testrun_http_requests_total", &["method", "route", "status"], "Requests that were answered."),
    histogram(
        "testrun_http_request_duration_seconds",
        &["method", "route"],
        "From a request's head to its answer's head, the wait for a slot included.",
    ),
    gauge("testrun_http_requests_in_flight", &[], "Requests without an answer yet."),
    gauge("testrun_http_slots_in_use", &["class"], "Requests that were let in, by class."),
    gauge("testrun_http_waiting", &["class"], "Requests that wait for a slot, by class."),
    histogram("testrun_http_wait_seconds", &["class"], "How long requests waited for a slot."),
    counter("testrun_http_rejected_total", &["class"], "Requests that were answered 503 to keep the others going."),
    gauge("testrun_http_streams", &[], "Event streams and WebSockets that are open."),
    gauge("testrun_jobs_available", &["queue"], "Jobs that are due and wait for a worker."),
    gauge("testrun_jobs_scheduled", &["queue"], "Jobs that are due later."),
    gauge("testrun_jobs_running", &["queue"], "Jobs that workers have in hand."),
    gauge("testrun_jobs_dead", &["queue"], "Jobs that were given up and are still kept."),
    gauge("testrun_queue_paused", &["queue"], "1 if an operator has paused the queue, otherwise 0."),
    gauge("testrun_jobs_oldest_seconds", &["queue"], "How long the oldest available job has waited."),
    counter("testrun_jobs_total", &["outcome", "queue"], "Jobs that came to an end: done, dead, or error."),
    histogram("testrun_job_duration_seconds", &["queue"], "How long handlers ran."),
    counter("testrun_jobs_rescued_total", &["queue"], "Jobs that were taken out of the hands of lost workers."),
    counter("testrun_jobs_rung_again_total", &["queue"], "Doorbells that the sweep found missing and rang again."),
    histogram("testrun_schedule_lateness_seconds", &[], "From a schedule's due time to its fire."),
    counter("testrun_scheduler_ticks_total", &["outcome", "tick"], "The scheduler's ticks: done, or error."),
    counter("testrun_mails_total", &["outcome"], "Attempts to send a mail: sent, failed, or refused for good."),
    histogram("testrun_mail_duration_seconds", &[], "How long an attempt to send a mail took."),
    counter("testrun_webhook_deliveries_total", &["outcome"], "Attempts to deliver a webhook: delivered, or failed."),
    histogram("testrun_webhook_duration_seconds", &[], "How long an attempt to deliver a webhook took."),
    gauge("testrun_db_connections", &["program", "state"], "Connections of the pool: idle, or in_use."),
    gauge("testrun_db_connections_max", &["program"], "Most connections that the pool opens."),
    histogram(
        "testrun_db_acquire_seconds",
        &["program"],
        "How long the wait for a connection was, tried every second.",
    ),
    gauge("testrun_invariant_violations", &["check"], "Violations of what must always be so, found lately: must be 0."),
    counter("testrun_invariant_check_failures_total", &["check"], "Invariant checks that could not be made."),
    counter("testrun_pruned_rows_total", &["table"], "Rows that were deleted since they were kept long enough."),
    gauge("testrun_last_success_age_seconds", &["part"], "How long ago a part of the service worked last."),
    gauge("process_resident_memory_bytes", &[], "Memory that the process has."),
    gauge("process_open_fds", &[], "File descriptors that the process has open."),
    gauge("process_start_time_seconds", &[], "When the process started, since 1970."),
];

/// Gives every metric its `HELP` and `TYPE` lines.
pub(super) fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}
