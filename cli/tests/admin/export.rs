//! `weir export`: what is declared, as a file that declares it.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Status;
use weir_proto::v1::{self, resource::Resource};

use crate::fake::Fake;

fn info(resource: Resource, file_set: &str) -> v1::ObjectInfo {
    let owner = v1::Owner { kind: v1::OwnerKind::FileSet as i32, name: file_set.into() };
    v1::ObjectInfo {
        resource: Some(v1::Resource { resource: Some(resource) }),
        meta: Some(v1::ObjectMeta { owner: Some(owner), ..Default::default() }),
        ..Default::default()
    }
}

fn backend(id: &str, address: &str) -> v1::Backend {
    let (service, id, address) = ("web".into(), id.into(), address.into());
    v1::Backend {
        service,
        id,
        address,
        weight: Some(1),
        operator_state: 2,
        lease_state: 1,
        ..Default::default()
    }
}

fn objects(kind: v1::ObjectKind) -> Vec<v1::ObjectInfo> {
    match kind {
        v1::ObjectKind::Listener => {
            let (name, address) = ("edge".into(), "0.0.0.0:80".into());
            vec![info(Resource::Listener(v1::Listener { name, address, ..Default::default() }), "ops")]
        }
        v1::ObjectKind::Service => {
            let service = |name: &str| v1::Service { name: name.into(), ..Default::default() };
            let mut implicit = info(Resource::Service(service("leased")), "");
            implicit.meta.get_or_insert_default().implicit = true;
            vec![implicit, info(Resource::Service(service("web")), "shop")]
        }
        v1::ObjectKind::Backend => {
            let plain = info(Resource::Backend(backend("10.0.0.1:80", "10.0.0.1:80")), "shop");
            let named = v1::Backend { zone: "b".into(), weight: Some(3), ..backend("two", "10.0.0.2:80") };
            let mut leased = info(Resource::Backend(backend("three", "10.0.0.3:80")), "");
            leased.meta.get_or_insert_default().lease = Some(v1::Lease::default());
            let other = info(Resource::Backend(backend("10.0.0.4:80", "10.0.0.4:80")), "ops");
            let by_hand = v1::Backend { service: "leased".into(), ..backend("10.0.0.5:80", "10.0.0.5:80") };
            let mut by_hand = info(Resource::Backend(by_hand), "");
            let owner = v1::Owner { kind: v1::OwnerKind::Operator as i32, name: "alice".into() };
            by_hand.meta.get_or_insert_default().owner = Some(owner);
            vec![plain, leased, info(Resource::Backend(named), "shop"), other, by_hand]
        }
        _ => {
            let services = vec![v1::WeightedService { name: "web".into(), weight: None }];
            let matching = v1::RouteMatch { host: "shop.example".into(), path: None };
            let route = v1::Route {
                name: "shop.example/".into(),
                r#match: Some(matching),
                services,
                ..Default::default()
            };
            let implicit = v1::Route { name: "default".into(), implicit: true, ..Default::default() };
            let mut implicit = info(Resource::Route(implicit), "");
            implicit.meta.get_or_insert_default().implicit = true;
            vec![implicit, info(Resource::Route(route), "shop")]
        }
    }
}

const ALL: &str = "\
file_set: ops
listeners:
- name: edge
  address: 0.0.0.0:80
backends:
- service: web
  address: 10.0.0.4:80
---
file_set: shop
services:
- name: web
  backends:
  - 10.0.0.1:80
  - id: two
    address: 10.0.0.2:80
    weight: 3
    zone: b
routes:
- match:
    host: shop.example
  service: web
---
operator: alice
backends:
- service: leased
  address: 10.0.0.5:80
";

#[tokio::test]
async fn what_is_declared_is_written_as_short_as_it_can_be_said() {
    let list = |r: v1::ListObjectsRequest| {
        Ok(v1::ListObjectsResponse {
            objects: objects(r.kind()),
            next_page_token: String::new(),
            revision: 7,
        })
    };
    let fake = Fake::default().on(list).listen().await;
    let ended = fake.weir(&["export"]).await;
    let compact = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    assert_eq!((ended.code, compact(&ended.stdout).replace('"', "")), (Some(0), compact(ALL)), "{ended:?}");
    let (_, value) = fake.json(&["export", "listener"]).await;
    assert_eq!(
        value.to_string(),
        r#"{"file_set":"ops","listeners":[{"name":"edge","address":"0.0.0.0:80"}]}"#
    );
    let (_, value) = fake.json(&["export", "--file-set", "shop", "services", "listeners"]).await;
    let keys: Vec<_> = value.as_object().expect("a document").keys().collect();
    assert_eq!(keys, ["file_set", "services"]);
    let (_, value) = fake.json(&["export"]).await;
    let sets: Vec<_> = value.as_array().expect("documents").iter().map(|one| &one["file_set"]).collect();
    assert_eq!(
        sets,
        ["ops", "shop", ""]
            .map(|set| if set.is_empty() { serde_json::Value::Null } else { set.into() })
            .each_ref()
    );
    assert_eq!(fake.weir(&["export", "backend"]).await.code, Some(2));
}

#[tokio::test]
async fn a_file_of_it_is_valid() {
    let list = |r: v1::ListObjectsRequest| {
        Ok(v1::ListObjectsResponse {
            objects: objects(r.kind()),
            next_page_token: String::new(),
            revision: 7,
        })
    };
    let fake = Fake::default().on(list).listen().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("all.yaml");
    let file = path.to_str().expect("a path of text");
    assert_eq!(fake.weir(&["export", "--to", file]).await.code, Some(0));
    let ended = fake.weir(&["validate", "-f", file]).await;
    assert_eq!(ended.stdout, "valid: listeners 1, services 1, backends 4, routes 1\n", "{ended:?}");
}

#[tokio::test]
async fn it_is_of_one_moment_as_far_as_declarations_go() {
    for (declared, code) in [(false, 0), (true, 8)] {
        let revision = AtomicU64::new(7);
        let list = move |r: v1::ListObjectsRequest| {
            let revision = revision.fetch_add(1, Ordering::SeqCst);
            Ok(v1::ListObjectsResponse {
                objects: objects(r.kind()),
                next_page_token: String::new(),
                revision,
            })
        };
        let diff = move |r: v1::DiffRequest| match r {
            v1::DiffRequest { from, to } if from < to => {
                Ok(v1::DiffResponse { changes: vec![v1::Change::default(); usize::from(declared)], from, to })
            }
            other => Err(Status::internal(format!("{other:?}"))),
        };
        let fake = Fake::default().on(list).on(diff).listen().await;
        assert_eq!(fake.weir(&["export"]).await.code, Some(code));
    }
}
