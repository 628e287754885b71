//! `weir export`: what is declared, as files declare it.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use weir_proto::{ObjectKind, v1};

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, new_file::NewFile, object, reference},
    output::{self, Declared, Format},
};

/// How often everything is read before it counts as changing all the time.
const ATTEMPTS: usize = 5;

/// What to export.
#[derive(Debug, Args)]
#[command(after_help = "\
`weir apply -f` of it changes nothing. It holds listeners, services with their static backends, and routes, in a document \
    for each file set, and one for each operator who registered backends by hand; not the backends with a lease, which \
    come and go by themselves, not what nobody declared, and not what operators drained or disabled. Written as YAML, with \
    --output json as JSON.")]
pub(super) struct Export {
    /// Only objects of these kinds: listener, service (with its backends), route
    #[arg(value_name = "KIND", value_parser = kind)]
    kinds: Vec<ObjectKind>,
    /// Only what this file set owns
    #[arg(long, value_name = "NAME")]
    file_set: Option<String>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Take the place of a file that is there already
    #[arg(long, requires = "to")]
    force: bool,
}

pub(super) async fn run(global: &Global, export: &Export) -> Result<Exit, Error> {
    let client = global.connect().await?;
    let mut declared = Declared::default();
    for info in read(&client).await? {
        if export.wants(&info)
            && let Some(object) = info.resource.and_then(|resource| resource.resource)
        {
            declared.add(info.meta.and_then(|meta| meta.owner).unwrap_or_default(), object);
        }
    }
    if declared.is_empty() {
        output::note("nothing of this is declared, so the document is empty");
    }
    let text = text(global.output().format(), &declared.documents())?;
    match &export.to {
        None => output::print_document(&text)?,
        Some(path) => {
            let mut file = NewFile::create(path, export.force)?;
            file.write(text.as_bytes())?;
            file.finish()?;
        }
    }
    Ok(Exit::Ok)
}

impl Export {
    fn wants(&self, info: &v1::ObjectInfo) -> bool {
        use v1::resource::Resource as R;
        let Some(resource) = info.resource.as_ref().and_then(|r| r.resource.as_ref()) else { return false };
        let kind = match resource {
            R::Listener(_) => ObjectKind::Listener,
            R::Service(_) | R::Backend(_) => ObjectKind::Service,
            R::Route(_) => ObjectKind::Route,
        };
        let meta = info.meta.clone().unwrap_or_default();
        let owner = meta.owner.unwrap_or_default();
        let is_owned = |set: &String| owner.kind() == v1::OwnerKind::FileSet && owner.name == *set;
        meta.lease.is_none()
            && !meta.implicit
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.file_set.as_ref().is_none_or(is_owned)
    }
}

/// Everything as it is declared at one moment.
async fn read(client: &Client) -> Result<Vec<v1::ObjectInfo>, Error> {
    for _ in 0..ATTEMPTS {
        let mut infos = Vec::new();
        let mut revisions = Vec::new();
        for kind in ObjectKind::ALL {
            let listed = object::listed(client, kind, "").await?;
            infos.extend(listed.objects);
            revisions.extend([listed.first, listed.last]);
        }
        let (first, last) = (revisions.iter().min(), revisions.iter().max());
        let (Some(first), Some(last)) = (first.copied(), last.copied()) else { continue };
        if first == last || is_same(client, first, last).await {
            return Ok(infos);
        }
    }
    Err(Error::Conflict("somebody declared something each time that it was read; try again".to_owned()))
}

/// Whether only leases and operators' states changed in between.
async fn is_same(client: &Client, from: u64, to: u64) -> bool {
    let mut admin = client.admin();
    client.call(admin.diff(v1::DiffRequest { from, to })).await.is_ok_and(|diff| diff.changes.is_empty())
}

/// Several documents are a list in JSON, and follow each other in YAML.
fn text(format: Format, documents: &[Value]) -> Result<String, Error> {
    match (format, documents) {
        (Format::Json, [one]) => output::document(one, format),
        (Format::Json, several) => output::document(&Value::from(several), format),
        (Format::Table | Format::Yaml, documents) => {
            let texts: Result<Vec<_>, _> =
                documents.iter().map(|document| output::document(document, format)).collect();
            Ok(texts?.join("---\n"))
        }
    }
}

/// Backends stand within their services.
fn kind(text: &str) -> Result<ObjectKind, String> {
    match reference::kind(text)? {
        ObjectKind::Backend => Err("backends are exported with their services: say service".to_owned()),
        kind => Ok(kind),
    }
}
