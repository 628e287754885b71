//! YAML in and out. Text becomes nodes that know where they stand, and scalars keep their spelling: what a scalar means
//! is decided by who reads it, so `zone: 1.10` stays `1.10`. JSON is read as the YAML that it is.
//!
//! The only module that knows the YAML library.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// How deep lists and mappings may stand within each other, aliases followed.
const MAX_DEPTH: usize = 32;
/// How many nodes a file may have, aliases followed.
const MAX_NODES: usize = 1_000_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its first character.
    pub(crate) at: At,
    /// What it is.
    pub(crate) value: Value,
}

/// A place in a text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    /// The line.
    pub(crate) line: usize,
    /// The character within the line.
    pub(crate) column: usize,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: an empty place, `~` or `null`.
    Null,
    /// A scalar as it is spelled, without quotes.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text; no key twice.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Where it stands.
    pub(crate) at: At,
    /// Its text.
    pub(crate) text: String,
}

/// Why a text is not YAML, or not what is read here of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Where.
    pub(crate) at: At,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The documents of a text. Empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut builder = Builder::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|e| syntax_error(&e))?;
        builder.take(event, At::from(&span))?;
    }
    Ok(builder.documents)
}

/// A value as YAML text that ends with a line break.
pub(crate) fn to_string(value: &serde_json::Value) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(value)
}

/// Nodes under construction.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Key>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: At) -> Result<(), SyntaxError> {
        if event.tag().is_some() {
            return refuse(at, "tags (`!name`) have no meaning here; leave it out");
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    text => Value::Text(text.to_owned()),
                };
                self.add(Node { at, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(at, Value::List(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => self.open(at, Value::Map(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => self.add(node, anchor),
                None => refuse(at, "ends something that never began"),
            },
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(node) => self.repeat(at, node),
                None => refuse(at, "an alias to what contains it never ends"),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: At, empty: Value, anchor: usize) -> Result<(), SyntaxError> {
        if self.open.len() == MAX_DEPTH {
            return refuse(at, format!("stands more than {MAX_DEPTH} levels deep"));
        }
        self.open.push(Open { node: Node { at, value: empty }, anchor, key: None });
        Ok(())
    }

    /// What an alias stands for is placed where it was written first: there it has to be corrected.
    fn repeat(&mut self, at: At, node: Node) -> Result<(), SyntaxError> {
        let (count, height) = size(&node);
        self.nodes += count - 1;
        if self.open.len() + height > MAX_DEPTH {
            return refuse(at, format!("stands more than {MAX_DEPTH} levels deep, aliases followed"));
        }
        self.add(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return refuse(node.at, format!("more than {MAX_NODES} values in one file; split it"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if node.value != Value::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Map(entries), Some(key)) => entries.push((key, node)),
            (Value::Map(entries), None) => {
                let Value::Text(text) = node.value else { return refuse(node.at, "a key must be text") };
                if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
                    let line = first.at.line;
                    return refuse(node.at, format!("`{text}` stands here twice, first in line {line}"));
                }
                open.key = Some(Key { at: node.at, text });
            }
            (Value::List(items), _) => items.push(node),
            (Value::Null | Value::Text(_), _) => return refuse(node.at, "cannot hold anything"),
        }
        Ok(())
    }
}

impl From<&Span> for At {
    fn from(span: &Span) -> Self {
        Self { line: span.start.line(), column: span.start.col() + 1 }
    }
}

fn syntax_error(error: &ScanError) -> SyntaxError {
    let at = At { line: error.marker().line().max(1), column: error.marker().col() + 1 };
    SyntaxError { at, reason: format!("not valid YAML: {}", error.info()) }
}

fn refuse<T>(at: At, reason: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { at, reason: reason.into() })
}

/// How many nodes it has, and how many levels.
fn size(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.value {
        Value::Null | Value::Text(_) => Vec::new(),
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, node)| node).collect(),
    };
    children.into_iter().map(size).fold((1, 1), |(n, h), (count, height)| (n + count, h.max(height + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (usize, usize, String) {
        let e = parse(text).expect_err("must be refused");
        (e.at.line, e.at.column, e.reason)
    }

    #[test]
    fn scalars_keep_their_spelling_and_their_place() {
        let documents = parse("a: 1.10\nb: [x, \"null\", null]\n").expect("valid");
        let Value::Map(entries) = &documents[0].value else { panic!("{documents:?}") };
        assert_eq!(entries[0].1.value, Value::Text("1.10".into()));
        assert_eq!(entries[0].1.at, At { line: 1, column: 4 });
        let Value::List(items) = &entries[1].1.value else { panic!("{entries:?}") };
        assert_eq!(items[1].value, Value::Text("null".into()));
        assert_eq!(items[2].value, Value::Null);
    }

    #[test]
    fn many_documents_and_json() {
        assert_eq!(parse("a: 1\n---\nb: 2\n---\n# nothing\n").map(|d| d.len()), Ok(2));
        // Blanks keep the places the same.
        assert_eq!(parse("{\"a\": [1, 2]}"), parse("{a:   [1, 2]}"));
    }

    #[test]
    fn refusals_have_a_place() {
        assert_eq!(refusal("a: 1\nb: 2\na: 3\n"), (3, 1, "`a` stands here twice, first in line 1".into()));
        assert_eq!(refusal("a: !secret x\n").1, 12);
        let (line, _, reason) = refusal("a: [1, 2\nb: 3\n");
        assert!(line >= 1 && reason.starts_with("not valid YAML: "), "{reason}");
    }

    #[test]
    fn aliases_are_followed_within_bounds() {
        let documents = parse("a: &x {k: v}\nb: *x\n").expect("valid");
        let Value::Map(entries) = &documents[0].value else { panic!("{documents:?}") };
        assert_eq!(entries[0].1, entries[1].1);

        let level = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
        let laughs = format!("a0: &a0 [{}]\n{}", ["x"; 10].join(", "), (1..9).map(level).collect::<String>());
        assert!(refusal(&laughs).2.contains("more than 1000000 values"));
        assert!(refusal(&format!("{}{}", "[".repeat(40), "]".repeat(40))).2.contains("32 levels deep"));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let value =
            serde_json::json!({"name": "web", "weights": [1, 2], "zone": "", "on": true, "n": "1.10"});
        let text = to_string(&value).expect("serializes");
        let documents = parse(&text).expect("valid");
        assert!(text.ends_with('\n'));
        assert_eq!(documents.len(), 1);
    }
}
