//! Every mail arrived, or was refused for good; twice only where nobody could know better.

use std::collections::HashMap;
use std::fmt;

use sqlx::PgPool;
use test_support::smtp::{Reaction, ReceivedMail};

use super::super::Happened;
use super::super::plan::{Mailbox, Plan};
use super::is_cut;

/// A row of `notifications`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Row {
    id: String,
    recipient: String,
    status: String,
    attempt: i32,
    last_error: Option<String>,
}

/// What became of the mails.
#[derive(Debug, Default)]
pub(crate) struct Mails {
    pub(crate) due: usize,
    pub(crate) sent: usize,
    pub(crate) refused: usize,
    /// Those about the webhook that was disabled.
    about_webhook: usize,
    /// Runs with a refused recipient whose other recipients got their mails.
    neighbours: usize,
    arrived: usize,
    /// Copies that came again because the server had not said that it has the mail.
    after_silence: usize,
    /// Copies that came again because a process was killed, or the database restarted, before it was noted.
    after_faults: usize,
    attempts: usize,
    pub(crate) violations: Vec<String>,
}

/// What is still to be accounted for.
struct Books<'a> {
    /// By recipient.
    rows: HashMap<&'a str, Vec<&'a Row>>,
    /// By Message-ID.
    copies: HashMap<String, Vec<&'a ReceivedMail>>,
}

pub(crate) async fn rows(pool: &PgPool) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as("SELECT id::text, recipient, status, attempt, last_error FROM notifications").fetch_all(pool).await
}

impl Mails {
    /// `maker` is told of the webhook that is disabled.
    pub(crate) fn judge(
        &mut self,
        plan: &Plan,
        maker: &str,
        rows: &[Row],
        arrived: &[ReceivedMail],
        happened: &Happened,
    ) {
        let mut books = Books { rows: HashMap::new(), copies: HashMap::new() };
        for mail in arrived {
            books.copies.entry(mail.message_id().unwrap_or_default()).or_default().push(mail);
        }
        self.arrived = arrived.len();
        for row in rows {
            books.rows.entry(&row.recipient).or_default().push(row);
        }
        for run in &plan.runs {
            let sent: Vec<_> =
                run.mailboxes.iter().map(|mailbox| self.judge_mailbox(mailbox, &mut books, happened)).collect();
            let others = run.mailboxes.iter().zip(&sent).filter(|(mailbox, _)| !mailbox.is_refused);
            let has_refused = run.mailboxes.iter().any(|mailbox| mailbox.is_refused);
            self.neighbours += usize::from(has_refused && others.into_iter().all(|(_, sent)| *sent));
        }
        let maker = Mailbox { address: maker.to_owned(), reactions: Vec::new(), is_refused: false };
        self.about_webhook += usize::from(self.judge_mailbox(&maker, &mut books, happened));
        for (recipient, rows) in books.rows {
            self.violations.push(format!("{} rows for {recipient}, who is to get none", rows.len()));
        }
        for (id, copies) in books.copies {
            self.violations.push(format!("{} mails {id}, which nobody wrote", copies.len()));
        }
    }

    /// Takes what there is about a recipient out of the books, and returns whether the mail was sent.
    fn judge_mailbox(&mut self, mailbox: &Mailbox, books: &mut Books<'_>, happened: &Happened) -> bool {
        self.due += 1;
        let rows = books.rows.remove(mailbox.address.as_str()).unwrap_or_default();
        let [row] = rows.as_slice() else {
            self.violations.push(format!("{} rows for {}", rows.len(), mailbox.address));
            return false;
        };
        self.attempts += usize::try_from(row.attempt).unwrap_or_default();
        let copies = books.copies.remove(&format!("<{}@example.com>", row.id)).unwrap_or_default();
        if mailbox.is_refused {
            self.judge_refused(row, &copies);
        } else {
            self.judge_sent(row, &copies, happened);
        }
        row.status == "sent"
    }

    fn judge_refused(&mut self, row: &Row, copies: &[&ReceivedMail]) {
        let tells_why = row.last_error.as_deref().is_some_and(|error| error.contains("No such mailbox here"));
        if row.status == "failed" && tells_why && copies.is_empty() {
            self.refused += 1;
        } else {
            self.violations.push(format!("refused for good, {} times in the journal: {row:?}", copies.len()));
        }
    }

    fn judge_sent(&mut self, row: &Row, copies: &[&ReceivedMail], happened: &Happened) {
        if row.status == "sent" && !copies.is_empty() {
            self.sent += 1;
        } else {
            self.violations.push(format!("{} times in the journal: {row:?}", copies.len()));
        }
        if copies.len() > usize::try_from(row.attempt).unwrap_or_default() {
            self.violations.push(format!("{} copies by fewer attempts: {row:?}", copies.len()));
        }
        if copies.iter().any(|copy| copy.recipients != [row.recipient.clone()]) {
            self.violations.push(format!("went to somebody else: {row:?}"));
        }
        for (first, again) in copies.iter().zip(copies.iter().skip(1)) {
            if first.reaction != Reaction::Accept {
                self.after_silence += 1;
            } else if is_cut(happened, first.taken_at, again.taken_at) {
                self.after_faults += 1;
            } else {
                self.violations.push(format!("sent again although it was accepted and nothing broke: {row:?}"));
            }
        }
    }
}

impl fmt::Display for Mails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, sent, refused, about_webhook, neighbours, arrived, after_silence, after_faults, .. } = self;
        writeln!(f, "{due} mails due: {sent} sent, {refused} refused for good, in {} attempts", self.attempts)?;
        writeln!(f, "  {about_webhook} of them about the webhook that was disabled")?;
        writeln!(f, "  {neighbours} runs with a refused recipient whose other recipients got theirs")?;
        let again = after_silence + after_faults;
        write!(
            f,
            "  {arrived} arrived, {again} of them again, with the Message-ID they had: {after_silence} after the server's \
             silence, {after_faults} after a kill or restart"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::super::Options;
    use super::*;

    const MAKER: &str = "maker@example.com";

    /// A small plan in which all went well.
    struct World {
        plan: Plan,
        rows: Vec<Row>,
        arrived: Vec<ReceivedMail>,
        happened: Vec<(SystemTime, SystemTime)>,
    }

    fn second(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number)
    }

    fn copy(row: &Row, reaction: Reaction, at: u64) -> ReceivedMail {
        ReceivedMail {
            sender: String::new(),
            recipients: vec![row.recipient.clone()],
            raw: format!("Message-ID: <{}@example.com>\r\n\r\n", row.id).into_bytes(),
            reaction,
            taken_at: second(at),
        }
    }

    fn sound() -> World {
        let duration = Duration::from_secs(1);
        let options = Options { seed: 1, mails: 9, deliveries: 0, streams: 0, faulty_attempts: 0, duration };
        let plan = Plan::draw(options, 1, 1);
        let maker = Mailbox { address: MAKER.to_owned(), reactions: Vec::new(), is_refused: false };
        let rows: Vec<_> = plan
            .mailboxes()
            .chain([&maker])
            .map(|mailbox| Row {
                id: mailbox.address.replace('@', "."),
                recipient: mailbox.address.clone(),
                status: if mailbox.is_refused { "failed" } else { "sent" }.to_owned(),
                attempt: 2,
                last_error: mailbox.is_refused.then(|| "550 5.1.1 No such mailbox here".to_owned()),
            })
            .collect();
        let sent = rows.iter().filter(|row| row.status == "sent");
        let arrived = sent.map(|row| copy(row, Reaction::Accept, 100)).collect();
        World { plan, rows, arrived, happened: vec![(second(50), second(51))] }
    }

    fn violations(spoil: impl FnOnce(&mut World)) -> usize {
        let mut books = sound();
        spoil(&mut books);
        let mut mails = Mails::default();
        mails.judge(&books.plan, MAKER, &books.rows, &books.arrived, &books.happened);
        mails.violations.len()
    }

    fn sent(books: &World) -> usize {
        books.rows.iter().position(|row| row.status == "sent").expect("a row")
    }

    fn refused(books: &World) -> usize {
        books.rows.iter().position(|row| row.status == "failed").expect("a row")
    }

    /// Has the first mail come again.
    fn again(books: &mut World, first: Reaction, seconds: u64) {
        let row = books.rows[sent(books)].clone();
        books.arrived[0].reaction = first;
        books.arrived.push(copy(&row, Reaction::Accept, 100 + seconds));
    }

    #[test]
    fn every_kind_of_loss_and_doubling_is_found() {
        assert_eq!(violations(|_| {}), 0);
        assert_eq!(violations(|books| drop(books.arrived.remove(0))), 1, "lost");
        assert_eq!(violations(|books| drop(books.rows.remove(sent(books)))), 2, "no row, and a mail of nobody's");
        assert_eq!(
            violations(|books| {
                let at = sent(books);
                books.rows[at].status = "pending".to_owned();
            }),
            1
        );
        assert_eq!(
            violations(|books| {
                let at = refused(books);
                books.rows[at].status = "sent".to_owned();
            }),
            1
        );
        assert_eq!(
            violations(|books| {
                let at = refused(books);
                books.rows[at].last_error = None;
            }),
            1,
            "no reason"
        );
        assert_eq!(violations(|books| books.arrived[0].recipients = vec!["x@example.com".to_owned()]), 1);
        assert_eq!(violations(|books| books.arrived[0].raw = b"Message-ID: <x@example.com>\r\n\r\n".to_vec()), 2);
        assert_eq!(violations(|books| books.rows.push(Row { recipient: "x".to_owned(), ..books.rows[0].clone() })), 1);
    }

    #[test]
    fn a_mail_may_come_again_only_where_its_sender_could_not_know() {
        assert_eq!(violations(|books| again(books, Reaction::Accept, 25)), 1, "for no reason");
        assert_eq!(violations(|books| again(books, Reaction::KeepAfterData, 25)), 0, "the server was silent");
        let with_fault = |from, to| {
            violations(|books| {
                again(books, Reaction::Accept, 60);
                books.happened.push((second(from), second(to)));
            })
        };
        assert_eq!(with_fault(101, 102), 0, "cut off before it was noted");
        assert_eq!(with_fault(98, 102), 0, "the database was away");
        assert_eq!(with_fault(98, 99), 1, "before it was taken");
        assert_eq!(with_fault(130, 131), 1, "long after it must have been noted");
    }
}
