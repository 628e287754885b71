//! Connections and the places on them, with backends that are sockets and no more, and a stopped clock.

use std::{net::Ipv4Addr, rc::Rc};

use tokio::{
    net::{TcpListener, TcpStream},
    task::LocalSet,
    time::{self, Duration, Instant},
};

use weir_proto::{CircuitBreakers, ResponseLimits};

use super::{
    connection::{Connection, PONG_TIMEOUT, SILENCE},
    pool::{Connecting, Pool, Slot},
};
use crate::{
    endpoint::{Connected, tests::endpoint},
    stream::Stream,
    worker::Local,
};

/// How long connections are kept without a request.
const IDLE: Duration = Duration::from_mins(1);

fn local() -> Rc<Local> {
    Rc::new(Local::alone())
}

/// A connection, and the backend's end of it, which says nothing.
async fn connection(local: &Rc<Local>) -> (Rc<Connection>, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (backend, _) = listener.accept().await.unwrap();
    let endpoint = endpoint((Ipv4Addr::LOCALHOST, 1).into());
    let connected = Connected::claim(&endpoint, &CircuitBreakers::default()).await.unwrap();
    (
        Connection::open(local, Stream::Plain(stream), connected, ResponseLimits::default()).await.unwrap(),
        backend,
    )
}

async fn with_slot(test: impl AsyncFnOnce(Pool, Rc<Slot>, Rc<Local>)) {
    let endpoint = endpoint((Ipv4Addr::LOCALHOST, 1).into());
    let pool = Pool::default();
    let slot = pool.slot(&endpoint, IDLE);
    LocalSet::new().run_until(test(pool, slot, local())).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_owes_answers_and_says_nothing_is_given_up() {
    LocalSet::new()
        .run_until(async {
            let local = local();
            let (connection, _backend) = connection(&local).await;
            connection.begin();
            let start = Instant::now();
            while !connection.is_over() {
                time::sleep(Duration::from_secs(1)).await;
            }
            let took = start.elapsed();
            assert!((SILENCE..SILENCE + 2 * PONG_TIMEOUT).contains(&took), "{took:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_owes_nothing_is_left_alone() {
    LocalSet::new()
        .run_until(async {
            let local = local();
            let (connection, _backend) = connection(&local).await;
            time::sleep(3 * SILENCE).await;
            assert!(!connection.is_over());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn places_are_on_the_connection_with_the_fewest_requests() {
    with_slot(async |_pool, slot, local| {
        assert!(slot.place(false).is_none());
        let (first, _backend) = connection(&local).await;
        Connecting::begin(&slot).done(Rc::clone(&first));
        let places: Vec<_> = std::iter::from_fn(|| slot.place(false)).collect();
        assert_eq!((places.len(), first.in_flight()), (first.limit(), first.limit()));
        assert!(slot.may_connect(u32::MAX));
        let (second, _backend) = connection(&local).await;
        Connecting::begin(&slot).done(Rc::clone(&second));
        let _place = slot.place(false).unwrap();
        assert_eq!((first.in_flight(), second.in_flight()), (first.limit(), 1));
        drop(places);
        let _place = slot.place(false).unwrap();
        assert_eq!((first.in_flight(), second.in_flight()), (1, 1));
        first.retire();
        let _place = slot.place(false).unwrap();
        assert_eq!((first.in_flight(), second.in_flight()), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_made_for_all_that_wait_for_it() {
    with_slot(async |_pool, slot, _local| {
        assert!(slot.may_connect(u32::MAX));
        let connecting = Connecting::begin(&slot);
        assert!(!slot.may_connect(u32::MAX), "it does for those that wait");
        drop(connecting);
        assert!(slot.may_connect(u32::MAX), "it failed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_few() {
    with_slot(async |_pool, slot, local| {
        let mut open = Vec::new();
        while slot.may_connect(u32::MAX) {
            let (connection, backend) = connection(&local).await;
            Connecting::begin(&slot).done(connection);
            open.push(backend);
        }
        assert_eq!(open.len(), 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_without_requests_are_let_go() {
    with_slot(async |pool, slot, local| {
        let (connection, _backend) = connection(&local).await;
        Connecting::begin(&slot).done(Rc::clone(&connection));
        let place = slot.place(false).unwrap();
        time::advance(2 * IDLE).await;
        pool.sweep();
        assert!(slot.place(false).is_some(), "it has a request");
        drop(place);
        time::advance(IDLE / 2).await;
        pool.sweep();
        assert!(slot.place(false).is_some(), "it has not waited for long");
        time::advance(IDLE).await;
        pool.sweep();
        assert!(slot.place(false).is_none());
    })
    .await;
}
