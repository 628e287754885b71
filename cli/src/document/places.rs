//! Where each field of the messages stands in the files.

use std::collections::HashMap;

use crate::{
    document::{Problem, files::Source},
    yaml::At,
};

/// From the path in the messages to the place in the files.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: HashMap<String, Place>,
    /// From where something stands in the messages to where it stands in the files, as a prefix of paths.
    aliases: HashMap<String, String>,
}

/// A place in the files.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The index of the file.
    pub(super) file: usize,
    /// The place in it.
    pub(super) at: At,
    /// What the user calls the field.
    pub(super) field: String,
}

impl Places {
    /// Remembers a place.
    pub(super) fn insert(&mut self, wire_path: String, place: Place) {
        self.known.insert(wire_path, place);
    }

    /// Says that the messages hold at `wire` what the files hold at `user`.
    pub(super) fn alias(&mut self, wire: &str, user: &str) {
        self.aliases.insert(wire.to_owned(), user.to_owned());
    }

    /// The place of a field or, if it was not written, of the nearest thing around it; and the rest of the path, in the
    /// user's words.
    pub(super) fn find(&self, wire_path: &str) -> Option<(&Place, String)> {
        let mut end = wire_path.len();
        loop {
            let (prefix, rest) = wire_path.split_at(end);
            if let Some(place) = self.known.get(prefix) {
                return Some((place, rest.to_owned()));
            }
            if let Some(user) = self.aliases.get(prefix) {
                return self.find(&format!("{user}{rest}"));
            }
            end = prefix.rfind(['.', '['])?;
        }
    }

    /// A refusal of a field by its path in the messages.
    pub(super) fn problem(&self, sources: &[Source], wire_path: &str, reason: &str) -> Problem {
        match self.find(wire_path) {
            Some((place, rest)) => {
                let field = format!("{}{rest}", place.field);
                Problem::at(&sources[place.file], place.at, field.trim_start_matches('.'), reason)
            }
            None => Problem::nowhere(wire_path, reason),
        }
    }
}
