use std::{fs, net::Ipv4Addr};

use rstest::rstest;
use test_support::refusing_port;
use test_support::smtp::{Reaction, SmtpSink};
use tokio::net::TcpListener;

use super::*;
use crate::mail::sample::{MESSAGE_ID, failed, mail_to};

const TO: &str = "team@example.com";
const SOON: Duration = Duration::from_secs(10);
/// For servers that never answer: long enough for a loopback conversation, short enough to wait for.
const IMPATIENT: Duration = Duration::from_millis(500);

fn mailer(url: &str) -> Mailer {
    Mailer::from_url(&SecretString::from(url)).unwrap()
}

fn refused_url(url: &str) -> String {
    Mailer::from_url(&SecretString::from(url)).unwrap_err().to_string()
}

/// To a server that will not answer.
async fn send_in_vain(mailer: &Mailer, to: &str) -> Result<(), SendError> {
    mailer.send_within(mail_to(to, &failed()), IMPATIENT).await
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let sink = SmtpSink::start().await.unwrap();
    let message = mail_to(TO, &failed());
    let sent = message.formatted();
    mailer(&sink.url()).send(message).await.unwrap();

    let mails = sink.wait_for(1, SOON).await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].sender, "ci@testrun.example.com");
    assert_eq!(mails[0].recipients, [TO]);
    assert_eq!(mails[0].message_id().as_deref(), Some(MESSAGE_ID));
    assert_eq!(mails[0].subject().as_deref(), Some("FAILED 3/120: Nightly Regression #42"));
    assert!(mails[0].text().unwrap().contains("3 of 120 tests failed"));
    assert!(mails[0].html().unwrap().contains("<table"));
    assert_eq!(String::from_utf8_lossy(&mails[0].raw).trim_end(), String::from_utf8_lossy(&sent).trim_end());
}

#[tokio::test]
async fn many_mails_at_once_arrive_once_each() {
    let sink = SmtpSink::start().await.unwrap();
    let mailer = mailer(&sink.url());
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mailer = mailer.clone();
        sends.spawn(async move { mailer.send(mail_to(&format!("user{number}@example.com"), &failed())).await });
    }
    assert!(sends.join_all().await.iter().all(Result::is_ok));
    let mut recipients: Vec<_> = sink.mails().into_iter().flat_map(|mail| mail.recipients).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!((sink.mails().len(), recipients.len()), (20, 20));
}

#[tokio::test]
async fn a_4xx_answer_is_transient_and_the_next_attempt_may_succeed() {
    let sink = SmtpSink::start().await.unwrap();
    sink.script(TO, [Reaction::RefuseForNow]);
    let mailer = mailer(&sink.url());
    let error = mailer.send(mail_to(TO, &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Transient(reason) if reason.contains("450")), "{error:?}");
    mailer.send(mail_to(TO, &failed())).await.unwrap();
    assert_eq!(sink.mails().len(), 1);
}

#[tokio::test]
async fn a_5xx_answer_is_permanent() {
    let sink = SmtpSink::start().await.unwrap();
    sink.always(TO, Reaction::Refuse);
    let error = mailer(&sink.url()).send(mail_to(TO, &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Permanent(reason) if reason.contains("550")), "{error:?}");
    assert!(error.to_string().contains("No such mailbox here"), "{error}");
    assert_eq!(sink.attempts(TO), 1);
}

#[tokio::test]
async fn an_address_that_the_server_cannot_take_is_permanent() {
    let sink = SmtpSink::start().await.unwrap();
    let error = mailer(&sink.url()).send(mail_to("jürgen@example.com", &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Permanent(reason) if reason.contains("SMTPUTF8")), "{error:?}");
}

#[test]
fn what_cannot_be_written_is_permanent() {
    let from = "ci@testrun.example.com".parse().unwrap();
    let error =
        crate::mail::message(&failed(), "nobody", &from, MESSAGE_ID, crate::mail::sample::at("2026-11-22T02:15:29Z"));
    assert!(matches!(SendError::from(error.unwrap_err()), SendError::Permanent(reason) if reason.contains("nobody")));
}

#[tokio::test]
async fn a_connection_closed_after_data_is_transient() {
    let sink = SmtpSink::start().await.unwrap();
    sink.script(TO, [Reaction::LoseAfterData, Reaction::KeepAfterData]);
    let mailer = mailer(&sink.url());
    for kept in [0, 1] {
        let error = mailer.send(mail_to(TO, &failed())).await.unwrap_err();
        assert!(matches!(error, SendError::Transient(_)), "{error:?}");
        assert_eq!(sink.mails().len(), kept);
    }
    mailer.send(mail_to(TO, &failed())).await.unwrap();
    let ids: Vec<_> = sink.mails().iter().filter_map(test_support::smtp::ReceivedMail::message_id).collect();
    assert_eq!(ids, [MESSAGE_ID, MESSAGE_ID], "a repeat can be told by its id");
}

#[tokio::test]
async fn a_server_that_hangs_is_transient_within_the_limit() {
    let sink = SmtpSink::start().await.unwrap();
    sink.always(TO, Reaction::Hang);
    let error = send_in_vain(&mailer(&sink.url()), TO).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Transient(reason) if reason.contains("did not finish within 500ms")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_never_greets_is_transient_within_the_limit() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mailer = mailer(&format!("smtp://{}", silent.local_addr().unwrap()));
    let error = send_in_vain(&mailer, TO).await.unwrap_err();
    assert!(matches!(&error, SendError::Transient(reason) if reason.contains("did not finish")), "{error:?}");
}

#[tokio::test]
async fn a_send_that_was_given_up_does_not_spoil_the_next() {
    let sink = SmtpSink::start().await.unwrap();
    sink.always("stuck@example.com", Reaction::Hang);
    let mailer = mailer(&sink.url());
    assert!(send_in_vain(&mailer, "stuck@example.com").await.is_err());
    for sent in 1..=3 {
        assert_eq!(mailer.send(mail_to(TO, &failed())).await, Ok(()));
        assert_eq!(sink.mails().len(), sent);
    }
}

#[tokio::test]
async fn no_server_is_transient() {
    let (_kept, address) = refusing_port().unwrap();
    let error = mailer(&format!("smtp://{address}")).send(mail_to(TO, &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Transient(reason) if reason.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn a_server_without_the_demanded_encryption_is_transient_and_gets_nothing() {
    let sink = SmtpSink::start().await.unwrap();
    let mailer = mailer(&format!("{}?tls=required", sink.url()));
    let error = mailer.send(mail_to(TO, &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Transient(reason) if reason.contains("STARTTLS")), "{error:?}");
    assert_eq!(sink.attempts(TO), 0);
}

#[rstest]
#[case::plain("smtp://mail.example.com", "smtp://mail.example.com")]
#[case::port("smtp://mail.example.com:2525", "smtp://mail.example.com:2525")]
#[case::tls("smtps://user:s3cret@mail.example.com:465", "smtps://mail.example.com:465")]
#[case::starttls("smtp://user:s3cr%65t@mail.example.com?tls=required", "smtp://mail.example.com?tls=required")]
#[case::greeting(
    "smtp://user:s3cret@mail.example.com:587/ci.example.com?tls=opportunistic",
    "smtp://mail.example.com:587?tls=opportunistic"
)]
#[tokio::test]
async fn a_mailer_never_shows_its_credentials(#[case] url: &str, #[case] shown: &str) {
    let mailer = mailer(url);
    assert_eq!(mailer.describe(), shown);
    assert!(!format!("{mailer:?}").contains("s3cr"), "{mailer:?}");
}

#[rstest]
#[case::no_url("mail.example.com")]
#[case::no_host("smtp://")]
#[case::other_scheme("https://s3cret@mail.example.com")]
#[case::bad_port("smtp://user:s3cret?@mail.example.com")]
#[case::bad_tls("smtp://mail.example.com?tls=yes")]
#[case::misspelt_parameter("smtp://user:s3cret@mail.example.com?tsl=required")]
#[case::password_with_a_question_mark("smtp://user:1?s3cret@mail.example.com")]
#[case::password_with_a_hash("smtp://user:1#s3cret@mail.example.com")]
#[case::user_alone("smtp://s3cret@mail.example.com")]
#[tokio::test]
async fn a_bad_url_is_refused_with_advice_and_without_its_secrets(#[case] url: &str) {
    let error = refused_url(url);
    assert!(error.starts_with("SMTP_URL: ") && error.contains("smtps://user:password@host"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn files_hold_the_mail_as_it_would_be_sent() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("not/yet/there");
    let mailer = Mailer::to_directory(&directory).unwrap();
    assert_eq!(mailer.describe(), directory.display().to_string());
    for _ in 0..2 {
        mailer.send(mail_to(TO, &failed())).await.unwrap();
    }

    let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(file.extension().unwrap(), "eml");
        let raw = fs::read(&file).unwrap();
        let mail = mailparse::parse_mail(&raw).unwrap();
        assert_eq!(mail.subparts.len(), 2);
        assert!(mail.subparts[1].get_body().unwrap().contains("3 of 120 tests failed"));
    }
}

#[tokio::test]
async fn a_directory_that_went_away_is_transient() {
    let root = tempfile::tempdir().unwrap();
    let mailer = Mailer::to_directory(root.path().join("mails")).unwrap();
    fs::remove_dir(root.path().join("mails")).unwrap();
    let error = mailer.send(mail_to(TO, &failed())).await.unwrap_err();
    assert!(matches!(&error, SendError::Transient(reason) if reason.contains("mails")), "{error:?}");
}
