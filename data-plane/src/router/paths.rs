//! The routes of one host, by path prefix: a tree of segments.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::CompiledRoute;

/// One node: what the segments that lead here select, and where further segments lead.
#[derive(Debug, Default)]
pub(super) struct Paths {
    route: Option<Arc<CompiledRoute>>,
    children: HashMap<Box<str>, Paths, RandomState>,
}

impl Paths {
    /// `prefix` is `/`, or starts with a `/` and does not end with one.
    pub(super) fn insert(&mut self, prefix: &str, route: Arc<CompiledRoute>) {
        let mut node = self;
        for segment in segments(prefix) {
            node = node.children.entry(segment.into()).or_default();
        }
        node.route = Some(route);
    }

    /// The route with the longest prefix of `path`. O(length of the path), however many routes there are.
    pub(super) fn longest(&self, path: &str) -> Option<&Arc<CompiledRoute>> {
        let mut node = self;
        let mut found = node.route.as_ref();
        for segment in segments(path) {
            let Some(child) = node.children.get(segment) else { break };
            node = child;
            found = node.route.as_ref().or(found);
        }
        found
    }
}

/// Without the root, which every path has; `*` (of `OPTIONS *`) has nothing else.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').filter(|rest| !rest.is_empty()).into_iter().flat_map(|rest| rest.split('/'))
}
