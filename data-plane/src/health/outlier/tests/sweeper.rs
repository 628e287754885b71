//! The task that looks at every service of the table in force.

use weir_proto::{Digest, Epoch, Revision, Route};

use super::*;
use crate::{
    health,
    objects::Position,
    router::Router,
    table::{SharedTable, Table},
};

fn force(table: &SharedTable, services: impl IntoIterator<Item = Arc<ServiceEntry>>) {
    let position = Position { epoch: Epoch(1), revision: Revision(1), digest: Digest::default() };
    let router = Arc::new(Router::compile(&[] as &[Route], None));
    let services = services.into_iter().map(|entry| (entry.service.name.clone(), entry)).collect();
    table.store(Some(Arc::new(Table { position, router, services, departed: Vec::new() })));
}

fn eject_first(service: &ServiceEntry) -> Arc<Endpoint> {
    let endpoint = Arc::clone(&service.members.values().next().unwrap().endpoint);
    for _ in 0..5 {
        learn(service, &mut begin(&endpoint, Among::All).unwrap(), Verdict::GatewayFailure);
    }
    assert!(endpoint.marks().has(Marks::EJECTED));
    endpoint
}

#[tokio::test(start_paused = true)]
async fn services_that_come_later_and_those_that_return_are_looked_after_too() {
    let table = Arc::new(SharedTable::empty());
    let task = tokio::spawn(health::sweep(Arc::clone(&table)));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let entry = Arc::new(service(2, |_| (), None));
        force(&table, [Arc::clone(&entry)]);
        let endpoint = eject_first(&entry);
        tokio::time::sleep(Duration::from_millis(29_900)).await;
        assert!(!endpoint.marks().has(Marks::PROBATION));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(endpoint.marks().has(Marks::PROBATION));
        force(&table, []);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&table), 2, "the task runs");
    task.abort();
}
