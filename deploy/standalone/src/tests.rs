//! The settings in `docs/operations.md` are those that the programs have.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::CommandFactory as _;

/// A program and one of its settings: the variable, or the flag where it has none.
type Key = (String, String);

/// What the documentation says of a setting: its flag and its default.
type Facts = (String, String);

/// What a setting without a variable, flag or default has in the table.
const NOTHING: &str = "–";

/// The settings of a command. Without `all` those that have a variable: the others are a command's own arguments.
fn settings(program: &str, command: &clap::Command, all: bool) -> Vec<(Key, Facts)> {
    command
        .get_arguments()
        .filter(|argument| !argument.is_positional() && (all || argument.get_env().is_some()))
        .map(|argument| {
            let flag = argument.get_long().map_or_else(|| NOTHING.to_owned(), |flag| format!("--{flag}"));
            let variable = argument.get_env().map(|variable| variable.to_string_lossy().into_owned());
            let defaults: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
            let takes_value = argument.get_action().takes_values();
            let default = if defaults.is_empty() || !takes_value { NOTHING.to_owned() } else { defaults.join(",") };
            ((program.to_owned(), variable.unwrap_or_else(|| flag.clone())), (flag, default))
        })
        .collect()
}

fn of_the_programs() -> BTreeMap<Key, Facts> {
    let testrun = super::command();
    let sub = |name| testrun.find_subcommand(name).expect("a command of testrun");
    let mut all = settings("api", &testrun_api::Config::command(), true);
    all.extend(settings("worker", &testrun_worker::Config::command(), true));
    all.extend(settings("scheduler", &testrun_scheduler::Config::command(), true));
    all.extend(settings("up", sub("up"), true));
    all.extend(settings("migrate", sub("migrate"), true));
    all.extend(settings("health", sub("health"), true));
    all.extend(settings("admin", sub("admin"), false));
    for command in sub("admin").get_subcommands() {
        all.extend(settings("admin", command, false));
    }
    all.into_iter().collect()
}

fn of_the_documentation() -> anyhow::Result<BTreeMap<Key, Facts>> {
    let text = include_str!("../../../docs/operations.md");
    let (_, chapter) = text.split_once("\n## Settings\n").context("no chapter Settings")?;
    let (chapter, _) = chapter.split_once("\n## ").unwrap_or((chapter, ""));
    let mut documented = BTreeMap::new();
    for line in chapter.lines().filter(|line| line.starts_with("| `") || line.starts_with("| – |")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [variable, flag, programs, default, unit, meaning] = &cells[..] else {
            anyhow::bail!("not six cells: {line}")
        };
        anyhow::ensure!(!unit.is_empty() && !meaning.is_empty(), "an empty cell: {line}");
        let name = if variable == NOTHING { flag } else { variable };
        for program in programs.split(", ") {
            let key = (program.to_owned(), name.clone());
            let before = documented.insert(key, (flag.clone(), default.clone()));
            anyhow::ensure!(before.is_none(), "{program} has {name} twice");
        }
    }
    Ok(documented)
}

#[test]
fn the_documentation_lists_the_settings_that_there_are() -> anyhow::Result<()> {
    let (programs, documentation) = (of_the_programs(), of_the_documentation()?);
    let only = |one: &BTreeMap<Key, Facts>, other: &BTreeMap<Key, Facts>| -> String {
        let missing = one.iter().filter(|(key, facts)| other.get(*key) != Some(facts));
        missing.map(|(key, facts)| format!("{key:?} {facts:?}\n")).collect()
    };
    let (undocumented, gone) = (only(&programs, &documentation), only(&documentation, &programs));
    assert!(
        undocumented.is_empty() && gone.is_empty(),
        "only in the programs:\n{undocumented}only in docs/operations.md:\n{gone}"
    );
    Ok(())
}

#[test]
fn the_commands_are_well_formed() {
    super::command().debug_assert();
    testrun_api::Config::command().debug_assert();
    testrun_worker::Config::command().debug_assert();
    testrun_scheduler::Config::command().debug_assert();
}
