//! Replies are lost, and calls are repeated and doubled: what is so in the end is what was asked for, once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tonic::Status;
use weir_proto::v1;
use weir_tests::{Api, Daemons, until};

/// Calls of the default run, and of the long one.
const CALLS: u16 = 60;
const CALLS_IN_SOAK: u16 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_again_and_again_is_done_once() {
    let daemons = Daemons::start(1).await;
    let relay = Relay::start(daemons.grpc()).await;
    let (near, far) = (Api::at(relay.address), daemons.api.clone());
    let mut wanted = BTreeMap::new();
    let mut revision = daemons.api.settled(1).await;
    let calls = if crate::soak() { CALLS_IN_SOAK } else { CALLS };
    for n in 0..calls {
        let id = n % 7;
        let address = SocketAddr::from(([127, 0, 0, 1], 9_000 + id));
        let name = format!("web/{address}");
        let known: Option<i32> = wanted.get(&name).copied();
        // Every third call reaches the control plane twice: over another way, too.
        let (twice, change) = (n % 3 == 0, u64::from(n % 5));
        let changes = match (n / 7 % 3, known) {
            (0, None) => {
                again(&relay, twice, [&near, &far], async |api| api.register("web", address).await).await;
                wanted.insert(name, v1::OperatorState::Enabled.into());
                true
            }
            (0 | 1, Some(before)) => {
                let state =
                    if change % 2 == 0 { v1::OperatorState::Draining } else { v1::OperatorState::Disabled };
                again(&relay, twice, [&near, &far], async |api| api.operator_state(&name, state).await).await;
                wanted.insert(name, state.into());
                before != i32::from(state)
            }
            _ => {
                again(&relay, twice, [&near, &far], async |api| api.deregister(&name).await).await;
                wanted.remove(&name).is_some()
            }
        };
        let now = daemons.api.status().await.unwrap().revision;
        assert_eq!(
            now,
            revision + u64::from(changes),
            "call {n}: done once, or not at all if it was so before"
        );
        revision = now;
    }
    let found = daemons.api.backends("web").await.unwrap();
    let found: BTreeMap<_, _> =
        found.into_iter().map(|b| (format!("web/{}", b.id), b.operator_state)).collect();
    assert_eq!(found, wanted);
    daemons.api.acknowledged(revision, 1).await;
    let lost = relay.cut.load(SeqCst);
    assert!(lost >= usize::from(calls / 2), "only {lost} replies were lost");
    println!("{calls} calls, {lost} replies lost, every change made once");
}

/// Calls until it is answered; the first reply is lost. With `twice` another client asks for the same meanwhile.
async fn again<T>(
    relay: &Relay,
    twice: bool,
    apis: [&Api; 2],
    call: impl AsyncFn(&Api) -> Result<T, Status>,
) {
    relay.lose.store(true, SeqCst);
    let repeated = until("an answer", async || call(apis[0]).await.ok());
    if twice {
        let (_, doubled) = tokio::join!(repeated, call(apis[1]));
        doubled.map(drop).unwrap();
    } else {
        repeated.await;
    }
}

/// A way to the control plane on which the next reply is lost when that is wanted, and the connection with it.
struct Relay {
    address: SocketAddr,
    lose: Arc<AtomicBool>,
    cut: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lose, cut) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (wanted, counted) = (Arc::clone(&lose), Arc::clone(&cut));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wanted, counted) = (Arc::clone(&wanted), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(to).await else { return };
                    relay(client, server, &wanted, &counted).await;
                });
            }
        });
        Self { address, lose, cut, task }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Moves bytes both ways. What the server says after a request that was let through is dropped, if that is wanted.
async fn relay(mut client: TcpStream, mut server: TcpStream, lose: &AtomicBool, cut: &AtomicUsize) {
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // What opens a connection is no reply: it is lost from the second word of the client on.
    let mut words = 0;
    loop {
        tokio::select! {
            n = client.read(&mut up) => match n {
                Ok(n) if n > 0 && server.write_all(&up[..n]).await.is_ok() => words += 1,
                _ => return,
            },
            n = server.read(&mut down) => match n {
                Ok(n) if n > 0 => {
                    if is_answer(&down[..n]) && words > 1 && lose.swap(false, SeqCst) {
                        cut.fetch_add(1, SeqCst);
                        return;
                    }
                    if client.write_all(&down[..n]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

/// Whether there are HEADERS of HTTP/2 among these frames, which begin where a frame does.
fn is_answer(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, rest @ ..] = bytes {
        if *kind == 1 {
            return true;
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        bytes = rest.get(5 + length..).unwrap_or_default();
    }
    false
}
