//! What texts tell people to type can be typed: every command that a message, a help text or the README names exists,
//! with its flags.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::Program;

#[test]
fn every_command_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let mut files = vec![root.join("README.md")];
    for sources in ["cli/src", "control-plane/src", "data-plane/src", "proto/src", "proto/weir"] {
        gather(&root.join(sources), &mut files);
    }
    let mut found = 0;
    let mut wrong = Vec::new();
    for file in files {
        if file.ends_with("commands/hints.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a text");
        let mut commands = quoted(&joined(&text));
        if file.extension().is_some_and(|kind| kind == "md") {
            commands.extend(lines(&text));
        }
        found += commands.len();
        wrong.extend(commands.into_iter().filter(|c| !exists(c)).map(|c| format!("{}: {c}", file.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 100, "only {found} were found");
}

#[test]
fn every_example_of_a_help_text_can_be_typed() {
    let mut examples = Vec::new();
    let mut commands = vec![Program::command()];
    while let Some(command) = commands.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        examples.extend(lines(&help));
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(examples.len() >= 2, "{examples:?}");
    for example in examples {
        if let Err(e) = Program::try_parse_from(words(&example)) {
            panic!("{example}: {e}");
        }
    }
}

/// Whether the verbs and flags of a command are known; values are often a name for what they are to be.
fn exists(command: &str) -> bool {
    let words = words(command).into_iter().take_while(|word| word != ">");
    // What is put in when it is said.
    let words = words.map(|word| if word.contains('{') { "service".to_owned() } else { word });
    match Program::try_parse_from(words) {
        Err(e) => !matches!(e.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand),
        Ok(_) => true,
    }
}

/// Between backquotes on one line.
fn quoted(text: &str) -> Vec<String> {
    let parts = text.split("`weir ").skip(1).filter_map(|rest| rest.split_once('`'));
    let commands = parts.filter(|(command, _)| !command.contains(['\n', '\\']));
    commands.map(|(command, _)| format!("weir {command}")).collect()
}

/// At the begin of a line, as in examples, up to a comment or the next command.
fn lines(text: &str) -> Vec<String> {
    let commands = text.lines().map(|line| line.trim_start().trim_start_matches("$ "));
    let commands = commands.filter(|line| line.starts_with("weir "));
    let ends = ["  #", " | ", " && ", " > ", "; "];
    commands
        .map(|line| {
            let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
            line[..end].trim_end_matches('\\').to_owned()
        })
        .collect()
}

/// Texts that go on in the next line of a source.
fn joined(text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(begin) if whole.ends_with(' ') => whole.push_str(begin.trim_start()),
            Some(begin) => whole.push_str(begin),
            None => {
                whole.push_str(if whole.ends_with(' ') { line.trim_start() } else { line });
                whole.push('\n');
            }
        }
    }
    whole
}

/// As a shell splits it.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in command.chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (c, _) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            files.push(path);
        }
    }
}
