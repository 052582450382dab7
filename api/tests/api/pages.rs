//! `Link`: from the first page of a list to its last one and back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::{App, Raw, none_wrong};
use crate::document::operations;
use crate::world::{World, case};

const CASES: &str = "/api/v1/test-cases";

/// The addresses in a `Link` header, by their relation.
fn links(answer: &Raw) -> BTreeMap<String, String> {
    let links = answer.header("link").split(", ").filter_map(|link| link.split_once("; rel="));
    links.map(|(at, rel)| (rel.trim_matches('"').to_owned(), at.trim_matches(['<', '>']).to_owned())).collect()
}

/// The rows of all pages from this address on, as their links lead.
async fn follow(app: &App, start: &str, rel: &str) -> anyhow::Result<Vec<Vec<Value>>> {
    let (mut pages, mut next) = (Vec::new(), Some(start.to_owned()));
    while let Some(address) = next {
        anyhow::ensure!(pages.len() < 60, "there is no end to the pages of {start}");
        let answer = app.send("GET", &address, "").await?;
        anyhow::ensure!(answer.status == 200, "{address}: {}", answer.text());
        pages.push(answer.json()["items"].as_array().cloned().unwrap_or_default());
        next = links(&answer).remove(rel);
    }
    Ok(pages)
}

#[tokio::test]
async fn links_lead_over_every_row_once_with_the_filters_kept() -> anyhow::Result<()> {
    let app = App::start().await?;
    for number in 0..11 {
        let tags = json!(["a b&c=d", "é"]);
        let name = if number < 7 { "Wanted 100%" } else { "Other" };
        app.client.post(CASES, &json!({"name": name, "tags": tags, "suite_path": ["R"]})).await?.expect(201)?;
    }
    let filters = "search=100%25&tags=a%20b%26c%3Dd,%C3%A9&suite_path=R&unknown=%26";
    let all = app.client.get(&format!("{CASES}?{filters}&limit=100")).await?.expect(200)?;
    let all = all["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(all.len(), 7);

    let first = app.send("GET", &format!("{CASES}?{filters}&limit=3"), "").await?;
    let ends = links(&first);
    assert_eq!(ends.keys().collect::<Vec<_>>(), ["first", "last", "next"]);
    let pages = follow(&app, &format!("{CASES}?{filters}&limit=3"), "next").await?;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(pages.concat(), all);
    assert_eq!(follow(&app, &ends["first"], "next").await?.concat(), all);

    let mut back = follow(&app, &ends["last"], "prev").await?;
    back.reverse();
    assert_eq!(back, pages);
    let last = links(&app.send("GET", &ends["last"], "").await?);
    assert_eq!(last.keys().collect::<Vec<_>>(), ["first", "last", "prev"]);
    assert_eq!(last["last"], ends["last"]);
    Ok(())
}

#[tokio::test]
async fn a_page_between_or_beyond_the_others_leads_back_to_them() -> anyhow::Result<()> {
    let app = App::start().await?;
    for number in 0..5 {
        case(&app.client, &format!("Case {number}")).await?;
    }
    let mut wrong = Vec::new();
    for (query, rel, expected) in [
        ("limit=2&offset=1", "prev", Some(0)),
        ("limit=2&offset=1", "next", Some(3)),
        ("limit=2&offset=1", "last", Some(4)),
        ("limit=5", "next", None),
        ("limit=5", "last", Some(0)),
        ("limit=2&offset=90", "prev", Some(88)),
        ("limit=2&offset=90", "next", None),
        ("limit=2&offset=9223372036854775807", "last", Some(4)),
        ("search=nothing", "last", Some(0)),
        ("search=nothing", "prev", None),
    ] {
        let found = links(&app.send("GET", &format!("{CASES}?{query}"), "").await?).remove(rel);
        let offset = found.as_deref().and_then(|address| address.rsplit_once("offset=")).map(|(_, offset)| offset);
        if offset.map(str::to_owned) != expected.map(|offset: i64| offset.to_string()) {
            wrong.push(format!("{query}: {rel} is {found:?}"));
        }
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn every_list_has_links_but_a_history() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for operation in operations() {
        if !operation.described["parameters"].to_string().contains("\"offset\"") {
            continue;
        }
        count += 1;
        let path = operation.path_in(&world);
        let all = app.send("GET", &format!("{path}?limit=100"), "").await?;
        // How long a job has waited is another figure on every page.
        if operation.id == "list_queues" {
            wrong.extend(links(&all).is_empty().then(|| "the queues have no links".to_owned()));
            continue;
        }
        if operation.id == "get_test_case_history" {
            wrong.extend((!links(&all).is_empty()).then(|| "a history has links".to_owned()));
            continue;
        }
        let pages = follow(&app, &format!("{path}?limit=1"), "next").await?;
        if json!(pages.concat()) != all.json()["items"] || links(&all).is_empty() {
            wrong.push(format!("{}: {} pages of {}", operation.name(), pages.len(), all.json()["total"]));
        }
    }
    none_wrong(&wrong);
    assert!(count > 15, "only {count} lists");
    Ok(())
}
