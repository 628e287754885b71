//! The fields of one mapping, taken one by one; what nobody took is unknown.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use weir_proto::{Invalid, duration_to_wire};

use crate::{
    document::{
        Problem,
        files::Source,
        places::{Place, Places},
    },
    units,
    yaml::{At, Key, Node, Value},
};

/// How much of a key may differ from a known one that is suggested instead: 1 is equal.
const SIMILAR: f64 = 0.8;

/// Where reading stands, and what it finds.
pub(super) struct Context<'a> {
    file: usize,
    pub(super) source: &'a Source,
    pub(super) places: &'a mut Places,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        file: usize,
        source: &'a Source,
        places: &'a mut Places,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        Self { file, source, places, problems }
    }

    /// Remembers where `path` stands.
    pub(super) fn place(&mut self, path: &Path, at: At) {
        let place = Place { file: self.file, at, field: path.user.clone() };
        self.places.insert(path.wire.clone(), place);
    }

    pub(super) fn refuse(&mut self, path: &Path, at: At, reason: &str) {
        self.problems.push(Problem::at(self.source, at, &path.user, reason));
    }

    /// Checks what was read by the rules of the contract, unless reading it already found something. `before` is what
    /// [`Context::problems`] said before it was read.
    pub(super) fn check<T>(&mut self, before: usize, path: &Path, at: At, checked: Result<T, Invalid>) {
        let (Err(invalid), true) = (checked, self.problems.len() == before) else { return };
        let wire = invalid.within(&path.wire);
        let (at, field) = match self.places.find(&wire.field) {
            Some((place, rest)) => (place.at, format!("{}{rest}", place.field)),
            None => (at, path.user.clone()),
        };
        self.problems.push(Problem::at(self.source, at, field.trim_start_matches('.'), &wire.reason));
    }

    /// How many were found so far.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }
}

/// What the user calls a field, and what the messages call it.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// `services[0].name`; empty at the top.
    pub(super) user: String,
    /// `documents[0].services[0].name`.
    pub(super) wire: String,
}

impl Path {
    /// The document of this index.
    pub(super) fn root(index: usize) -> Self {
        Self { user: String::new(), wire: format!("documents[{index}]") }
    }

    /// A field of it.
    pub(super) fn key(&self, key: &str) -> Self {
        let user = if self.user.is_empty() { key.to_owned() } else { format!("{}.{key}", self.user) };
        Self { user, wire: format!("{}.{key}", self.wire) }
    }

    /// An item of it.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { user: format!("{}[{index}]", self.user), wire: format!("{}[{index}]", self.wire) }
    }
}

/// The fields of one mapping.
pub(super) struct Fields<'c, 'a> {
    pub(super) context: &'c mut Context<'a>,
    pub(super) path: Path,
    at: At,
    entries: &'c [(Key, Node)],
    known: Vec<&'static str>,
    /// Keys that were refused with a reason of their own.
    refused: Vec<&'static str>,
}

impl<'c, 'a> Fields<'c, 'a> {
    /// The fields of `node`, which must be a mapping.
    pub(super) fn of(context: &'c mut Context<'a>, node: &'c Node, path: &Path) -> Option<Self> {
        context.place(path, node.at);
        let entries: &[(Key, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Text(_) | Value::List(_) => {
                context.refuse(path, node.at, "must be a mapping of keys to values");
                return None;
            }
        };
        let (known, refused) = (Vec::new(), Vec::new());
        Some(Self { context, path: path.clone(), at: node.at, entries, known, refused })
    }

    /// The value of a field, if it is there.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'c Node> {
        self.know(key);
        let node = self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)?;
        let path = self.path.key(key);
        self.context.place(&path, node.at);
        Some(node)
    }

    /// Any scalar as text; empty if absent.
    pub(super) fn text(&mut self, key: &'static str) -> String {
        self.scalar(key, |text| Ok(text.to_owned())).unwrap_or_default()
    }

    /// A scalar as text that must be there.
    pub(super) fn required_text(&mut self, key: &'static str) -> String {
        self.require(key);
        self.text(key)
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str) -> Option<u32> {
        self.scalar(key, number)
    }

    /// A whole number that must be there.
    pub(super) fn required_number(&mut self, key: &'static str) -> u32 {
        self.require(key);
        self.number(key).unwrap_or_default()
    }

    /// A number that need not be whole.
    pub(super) fn decimal(&mut self, key: &'static str) -> Option<f64> {
        self.scalar(key, |text| text.parse().map_err(|_| format!("must be a number, not {text:?}")))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.scalar(key, |text| text.parse().map_err(|_| format!("must be true or false, not {text:?}")))
    }

    /// A size, as `64KiB`.
    pub(super) fn size(&mut self, key: &'static str) -> Option<u32> {
        self.scalar(key, units::size)
    }

    /// A size that may be 4GiB and more.
    pub(super) fn large_size(&mut self, key: &'static str) -> Option<u64> {
        self.scalar(key, units::large_size)
    }

    /// One of the words of `known`, as what it stands for in the messages; 0, which means the default, if absent.
    pub(super) fn word<E: Copy + Into<i32>>(&mut self, key: &'static str, known: &[(&str, E)]) -> i32 {
        let read = |text: &str| {
            let found = known.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| (*value).into()).ok_or_else(|| {
                let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
                format!("must be one of {}, not {text:?}", words.join(", "))
            })
        };
        self.scalar(key, read).unwrap_or_default()
    }

    /// Says that the messages call the field `wire` what the files call `user`.
    pub(super) fn called(&mut self, wire: &str, user: &str) {
        let (wire, user) = (self.path.key(wire), self.path.key(user));
        self.context.places.alias(&wire.wire, &user.wire);
    }

    /// A duration, as `5s`.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<prost_types::Duration> {
        self.scalar(key, units::duration).map(|duration: Duration| duration_to_wire(duration))
    }

    /// A mapping of text to text.
    pub(super) fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        self.pairs(key).into_iter().collect()
    }

    /// The same in the order of the file, which the messages hold as a list of names and values.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<(String, String)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let path = self.path.key(key);
        let Some(fields) = Fields::of(self.context, node, &path) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (k, node) in fields.entries {
            let user = path.key(&k.text);
            if let Some(text) = scalar(fields.context, &user, node) {
                let wire = path.item(pairs.len());
                fields.context.place(&Path { wire: wire.key("name").wire, ..user.clone() }, k.at);
                fields.context.place(&Path { wire: wire.key("value").wire, ..user }, node.at);
                pairs.push((k.text.clone(), text.to_owned()));
            }
        }
        pairs
    }

    /// Which of these keys is there; of several the first, and the others are refused.
    pub(super) fn one_of(&mut self, keys: &[&'static str]) -> Option<&'static str> {
        for key in keys {
            self.know(key);
        }
        let mut found = None;
        for (key, node) in self.entries {
            let Some(known) = keys.iter().find(|known| **known == key.text) else { continue };
            match found {
                None => found = Some(*known),
                Some(first) => {
                    let reason = format!("excludes `{first}`; leave one of them out");
                    self.context.refuse(&self.path.key(known), node.at, &reason);
                }
            }
        }
        found
    }

    /// A mapping with fields of its own.
    pub(super) fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Context<'a>, &Node, &Path) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        let path = self.path.key(key);
        read(self.context, node, &path)
    }

    /// A list whose items `read` understands.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Context<'a>, &Node, &Path) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let path = self.path.key(key);
        match &node.value {
            Value::Null => Vec::new(),
            Value::List(items) => {
                let item = |(i, node)| read(self.context, node, &path.item(i));
                items.iter().enumerate().filter_map(item).collect()
            }
            Value::Text(_) | Value::Map(_) => {
                self.context.refuse(&path, node.at, "must be a list");
                Vec::new()
            }
        }
    }

    /// Refuses a key that many expect here, and says why there is no such thing.
    pub(super) fn refuse(&mut self, key: &'static str, reason: &str) {
        self.refused.push(key);
        if let Some((found, _)) = self.entries.iter().find(|(k, _)| k.text == key) {
            self.context.refuse(&self.path.key(key), found.at, reason);
        }
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            if self.known.iter().chain(&self.refused).any(|known| *known == key.text) {
                continue;
            }
            let hint = match nearest(&key.text, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let reason = format!("unknown key `{}`; {hint}", key.text);
            self.context.refuse(&self.path.key(&key.text), key.at, &reason);
        }
    }

    fn require(&mut self, key: &'static str) {
        if !self.entries.iter().any(|(k, _)| k.text == key) {
            let path = self.path.key(key);
            self.context.refuse(&path, self.at, "is missing");
        }
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn scalar<T>(&mut self, key: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let node = self.node(key)?;
        let path = self.path.key(key);
        let text = scalar(self.context, &path, node)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.context.refuse(&path, node.at, &reason);
                None
            }
        }
    }
}

/// A word in place of a mapping that has nothing else in it: `random` for `{ random: {} }`. Every `words` may stand so,
/// with `value` as what it would have in the mapping.
pub(super) fn spelled_out<'n>(
    context: &mut Context<'_>,
    path: &Path,
    node: &'n Node,
    words: &[&str],
    value: &Value,
) -> Option<Cow<'n, Node>> {
    let Value::Text(word) = &node.value else { return Some(Cow::Borrowed(node)) };
    if !words.contains(&word.as_str()) {
        context.refuse(path, node.at, &format!("must be {} or a mapping, not {word:?}", words.join(", ")));
        return None;
    }
    let entry = (Key { at: node.at, text: word.clone() }, Node { at: node.at, value: value.clone() });
    Some(Cow::Owned(Node { at: node.at, value: Value::Map(vec![entry]) }))
}

/// A whole number, as an item of a list.
pub(super) fn whole_number(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<u32> {
    context.place(path, node.at);
    let text = scalar(context, path, node)?;
    number(text).map_err(|reason| context.refuse(path, node.at, &reason)).ok()
}

/// The text of a scalar.
pub(super) fn scalar<'n>(context: &mut Context<'_>, path: &Path, node: &'n Node) -> Option<&'n str> {
    let reason = match &node.value {
        Value::Text(text) => return Some(text),
        Value::Null => "has no value",
        Value::List(_) => "must be a single value, is a list",
        Value::Map(_) => "must be a single value, is a mapping",
    };
    context.refuse(path, node.at, reason);
    None
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a whole number, not {text:?}"))
}

fn nearest(text: &str, known: &[&'static str]) -> Option<&'static str> {
    let score = |known: &&'static str| strsim::jaro_winkler(&text.to_lowercase(), known);
    known.iter().copied().filter(|k| score(k) >= SIMILAR).max_by(|a, b| score(a).total_cmp(&score(b)))
}
