//! What was: `Admin.History`, `Diff` and `Rollback`.

use std::str::FromStr;

use tonic::Status;
use weir_proto::{Invalid, Revision, v1};

use super::{
    Api,
    apply::{self, encode},
    objects::key,
    refused, status,
};
use crate::{caller::Caller, journal::Query, registry::Rollback};

/// Revisions or records on a page, if the caller does not say.
const PAGE: usize = 100;
/// Revisions or records on a page at most.
const MOST_ON_PAGE: usize = 1_000;

impl Api {
    pub(super) async fn history(&self, request: v1::HistoryRequest) -> Result<v1::HistoryResponse, Status> {
        let mut query = query(request).map_err(|e| refused(vec![e]))?;
        let size = query.most;
        // One more says whether there is another page.
        query.most += 1;
        let page = self.registry.history(query).await.map_err(status)?;
        let mut revisions: Vec<_> = page.records.into_iter().map(|record| record.info).collect();
        let next_page_token = next_page(&mut revisions, size, |info| info.revision);
        Ok(v1::HistoryResponse { revisions, next_page_token, floor: page.floor.0 })
    }

    pub(super) async fn diff(&self, request: v1::DiffRequest) -> Result<v1::DiffResponse, Status> {
        let to = (request.to != 0).then_some(Revision(request.to));
        let found = self.registry.diff(Revision(request.from), to).await.map_err(status)?;
        let changes = found.changes.iter().map(encode).collect();
        Ok(v1::DiffResponse { from: found.from.0, to: found.to.0, changes })
    }

    pub(super) async fn rollback(
        &self,
        caller: &Caller,
        request: v1::RollbackRequest,
    ) -> Result<v1::RollbackResponse, Status> {
        apply::message(&request.message)
            .map_err(|e| self.refuse(caller, "Rollback", &[], refused(vec![e])))?;
        let wanted = Rollback {
            to: Revision(request.revision),
            dry_run: request.dry_run,
            if_revision: request.if_revision.map(Revision),
            message: request.message,
            own_addresses: self.fleet.own_addresses(),
        };
        let done = self.registry.rollback(caller, wanted).await.map_err(status)?;
        let changes = done.changes.iter().map(encode).collect();
        Ok(v1::RollbackResponse { revision: done.revision.0, changes, warnings: done.warnings })
    }
}

/// How many to put on a page.
pub(super) fn page_size(wire: u32) -> Result<usize, Invalid> {
    match wire as usize {
        0 => Ok(PAGE),
        n if n <= MOST_ON_PAGE => Ok(n),
        n => Err(Invalid::new("page_size", format_args!("must be 0 to {MOST_ON_PAGE}, is {n}"))),
    }
}

/// Where the page before ended.
pub(super) fn page_token(wire: &str) -> Result<Option<u64>, Invalid> {
    match wire {
        "" => Ok(None),
        // What a number could be written as besides is no token of ours.
        text => {
            u64::from_str(text).ok().filter(|n| n.to_string() == text && *n > 0).map(Some).ok_or_else(|| {
                Invalid::new("page_token", "is none that was answered; leave it out for the first page")
            })
        }
    }
}

/// Cuts a page that has one more than it may; answers the token of the next one.
pub(super) fn next_page<T>(page: &mut Vec<T>, size: usize, number: impl Fn(&T) -> u64) -> String {
    let is_last = page.len() <= size;
    page.truncate(size);
    page.last().filter(|_| !is_last).map_or_else(String::new, |last| number(last).to_string())
}

fn query(request: v1::HistoryRequest) -> Result<Query, Invalid> {
    Ok(Query {
        before: page_token(&request.page_token)?.map(Revision),
        most: page_size(request.page_size)?,
        automatic: request.automatic,
        object: request.object.map(|object| key(Some(object))).transpose()?,
        befores: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_was_asked_for_within_bounds() {
        assert_eq!((page_size(0), page_size(7)), (Ok(PAGE), Ok(7)));
        assert_eq!(page_size(1_001).map_err(|e| e.field), Err("page_size".to_owned()));
    }

    #[test]
    fn only_tokens_that_were_answered_are_taken() {
        assert_eq!((page_token(""), page_token("17")), (Ok(None), Ok(Some(17))));
        for bad in ["x", "-1", "+1", "007", "0", " 1", "18446744073709551616", "1é"] {
            assert_eq!(page_token(bad).map_err(|e| e.field), Err("page_token".to_owned()), "{bad}");
        }
    }

    #[test]
    fn an_object_that_cannot_be_is_named() {
        let object = Some(v1::ObjectRef { kind: 0, name: "web".to_owned() });
        let refusal = query(v1::HistoryRequest { object, ..Default::default() }).map_err(|e| e.field);
        assert_eq!(refusal.expect_err("no kind"), "object.kind");
    }
}
