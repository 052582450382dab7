//! Mails about ended runs, and about webhooks that are no longer sent to.

use super::schedule::NotifySettings;
use super::test_run::RunStatus;
use super::text_enum::text_enum;

text_enum! {
    /// What a mail is about.
    pub enum NotificationKind {
        /// A scheduled run ended without failures.
        Completion = "completion",
        /// A scheduled run ended with failed tests, or by an infrastructure failure.
        Failure = "failure",
        /// A webhook was disabled: its receiver is gone, or failed for long.
        WebhookDisabled = "webhook_disabled",
    }
}

text_enum! {
    /// Where a mail is on its way.
    pub enum NotificationStatus {
        /// It waits for its next attempt.
        Pending = "pending",
        /// An attempt is under way.
        Sending = "sending",
        /// The mail server accepted it.
        Sent = "sent",
        /// It was given up.
        Failed = "failed",
    }
}

/// Whether an ended run is told of, and as what (decisions, Notices).
///
/// Without failures only `notify_on_completion` counts; with failed tests or an infrastructure failure either flag
/// does. A run that somebody cancelled is told to nobody.
#[must_use]
pub fn notice_for(status: RunStatus, failed_tests: i32, settings: NotifySettings) -> Option<NotificationKind> {
    match status {
        RunStatus::Completed if failed_tests == 0 => settings.on_completion.then_some(NotificationKind::Completion),
        RunStatus::Completed | RunStatus::Failed => {
            (settings.on_completion || settings.on_failure).then_some(NotificationKind::Failure)
        }
        RunStatus::Pending | RunStatus::Queued | RunStatus::Running | RunStatus::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_decide_as_the_decisions_say() {
        let on = |on_completion, on_failure| NotifySettings { on_completion, on_failure };
        use NotificationKind::{Completion, Failure};
        for (status, failed, settings, expected) in [
            (RunStatus::Completed, 0, on(true, false), Some(Completion)),
            (RunStatus::Completed, 0, on(false, true), None),
            (RunStatus::Completed, 1, on(true, false), Some(Failure)),
            (RunStatus::Completed, 1, on(false, true), Some(Failure)),
            (RunStatus::Completed, 1, on(false, false), None),
            (RunStatus::Failed, 0, on(false, true), Some(Failure)),
            (RunStatus::Cancelled, 1, on(true, true), None),
        ] {
            assert_eq!(notice_for(status, failed, settings), expected, "{status} {failed} {settings:?}");
        }
    }
}
