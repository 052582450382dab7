//! From XML events to test cases, in one pass.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, NaiveDateTime, Utc};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{Case, Outcome};

/// Reads all `<testcase>` elements of a document.
pub(super) fn cases(xml: &str) -> anyhow::Result<Vec<Case>> {
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser::default();
    loop {
        let event = reader.read_event().with_context(|| format!("bad XML at byte {}", reader.error_position()))?;
        match event {
            Event::Start(element) => parser.start(&element)?,
            Event::End(element) => parser.end(element.local_name().as_ref()),
            Event::Text(text) => parser.text(&text.xml10_content()),
            Event::CData(text) => parser.text(&text.xml10_content()),
            Event::GeneralRef(reference) => parser.text(&resolve(&reference)),
            Event::Eof => return parser.finish(),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

#[derive(Default)]
struct Parser {
    /// Number of elements that are open.
    depth: usize,
    /// The `<testsuite>` elements that are open, outermost first.
    suites: Vec<Suite>,
    /// Whether there was a `<testsuites>` or `<testsuite>` at all.
    is_report: bool,
    open: Option<OpenCase>,
    names: Names,
    cases: Vec<Case>,
}

#[derive(Default)]
struct Suite {
    name: String,
    file: Option<String>,
}

struct OpenCase {
    case: Case,
    /// Number of elements that are open inside the `<testcase>`.
    depth: usize,
    capture: Option<Capture>,
}

/// Where the text of the element directly inside the `<testcase>` goes.
#[derive(Clone, Copy)]
enum Capture {
    Trace,
    Stdout,
    Stderr,
}

impl Parser {
    fn start(&mut self, element: &BytesStart<'_>) -> anyhow::Result<()> {
        self.depth += 1;
        if let Some(open) = &mut self.open {
            return open.start(element);
        }
        match element.local_name().as_ref() {
            "testsuites" => self.is_report = true,
            "testsuite" => {
                self.is_report = true;
                let mut attributes = attributes(element)?;
                self.suites.push(Suite {
                    name: attributes.remove("name").unwrap_or_default(),
                    file: attributes.remove("file"),
                });
            }
            "testcase" => self.open = Some(OpenCase::new(element, self.suites.last())?),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, element: &str) {
        self.depth = self.depth.saturating_sub(1);
        match self.open.take() {
            Some(mut open) if open.depth > 0 => {
                open.end();
                self.open = Some(open);
            }
            Some(OpenCase { mut case, .. }) => {
                self.names.make_unique(&mut case);
                self.cases.push(case);
            }
            None if element == "testsuite" => drop(self.suites.pop()),
            None => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = &mut self.open {
            open.text(text);
        }
    }

    fn finish(self) -> anyhow::Result<Vec<Case>> {
        ensure!(self.is_report, "there is no <testsuite> in it");
        ensure!(self.depth == 0, "it ends inside an element: was the file cut off?");
        Ok(self.cases)
    }
}

impl OpenCase {
    fn new(element: &BytesStart<'_>, suite: Option<&Suite>) -> anyhow::Result<Self> {
        let mut attributes = attributes(element)?;
        let mut take = |name| attributes.remove(name);
        let case = Case {
            suite: suite.map(|suite| suite.name.clone()).unwrap_or_default(),
            classname: take("classname").unwrap_or_default(),
            name: take("name").unwrap_or_default(),
            file: take("file").or_else(|| suite?.file.clone()),
            duration_ms: take("time").map_or(0, |time| milliseconds(&time)),
            timestamp: take("timestamp").and_then(|time| instant(&time)),
            outcome: Outcome::Passed,
            flaky: false,
            attempts: 1,
            message: None,
            trace: String::new(),
            stdout: String::new(),
            stderr: String::new(),
        };
        Ok(Self { case, depth: 0, capture: None })
    }

    fn start(&mut self, element: &BytesStart<'_>) -> anyhow::Result<()> {
        self.depth += 1;
        if self.depth > 1 {
            return Ok(());
        }
        match element.local_name().as_ref() {
            "failure" => self.ended(Outcome::Failed, element)?,
            "error" => self.ended(Outcome::Error, element)?,
            "skipped" => self.ended(Outcome::Skipped, element)?,
            "flakyFailure" | "flakyError" => {
                self.case.flaky = true;
                self.case.attempts += 1;
            }
            "rerunFailure" | "rerunError" => self.case.attempts += 1,
            "system-out" => self.capture = Some(Capture::Stdout),
            "system-err" => self.capture = Some(Capture::Stderr),
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, outcome: Outcome, element: &BytesStart<'_>) -> anyhow::Result<()> {
        self.capture = Some(Capture::Trace);
        if outcome > self.case.outcome {
            self.case.outcome = outcome;
            self.case.message = attributes(element)?.remove("message");
        }
        Ok(())
    }

    fn end(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            self.capture = None;
        }
    }

    fn text(&mut self, text: &str) {
        let target = match self.capture {
            Some(Capture::Trace) => &mut self.case.trace,
            Some(Capture::Stdout) => &mut self.case.stdout,
            Some(Capture::Stderr) => &mut self.case.stderr,
            None => return,
        };
        if self.depth == 1 {
            target.extend(text.chars().map(printable));
        }
    }
}

/// The names given out so far. Runners repeat them: reruns, and suites that share their name and their file.
#[derive(Default)]
struct Names {
    taken: HashSet<(String, String, String)>,
    times: HashMap<(String, String, String), u32>,
}

impl Names {
    fn make_unique(&mut self, case: &mut Case) {
        let plain = (case.suite.clone(), case.classname.clone(), case.name.clone());
        if self.taken.insert(plain.clone()) {
            return;
        }
        let times = self.times.entry(plain.clone()).or_insert(1);
        // A report may also have a test that is really called "name (2)".
        loop {
            *times += 1;
            case.name = format!("{} ({times})", plain.2);
            if self.taken.insert((plain.0.clone(), plain.1.clone(), case.name.clone())) {
                return;
            }
        }
    }
}

fn attributes(element: &BytesStart<'_>) -> anyhow::Result<HashMap<String, String>> {
    let mut found = HashMap::new();
    for attribute in element.attributes() {
        let attribute = attribute.with_context(|| format!("bad attribute of <{}>", element.local_name().as_ref()))?;
        // A reference that XML forbids, such as `&#0;`, stays as it is written: better than to lose the report.
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or_else(|_| attribute.value.clone());
        found.insert(attribute.key.local_name().as_ref().to_owned(), value.chars().map(printable).collect());
    }
    Ok(found)
}

fn resolve(reference: &BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => character.to_string(),
        Ok(None) => resolve_predefined_entity(reference).map_or_else(|| format!("&{};", &**reference), str::to_owned),
        Err(_) => char::REPLACEMENT_CHARACTER.to_string(),
    }
}

/// Replaces what XML 1.0 forbids ("Characters"), since the server answers NUL with 400.
fn printable(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => character,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// From seconds with a fraction, which some runners write with thousands separators; 0 for what is no duration.
fn milliseconds(seconds: &str) -> u64 {
    seconds
        .replace(',', "")
        .trim()
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|time| time.checked_add(Duration::from_micros(500)))
        .and_then(|time| u64::try_from(time.as_millis()).ok())
        .unwrap_or(0)
}

/// Reads RFC 3339, or an instant without an offset, which is taken as UTC.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc()))
        .ok()
}
