//! A body of 10 GiB through a proxy, up and down, with its memory.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, interval},
};
use weir_tests::Daemons;

const BODY: u64 = 10 << 30;
const PIECE: usize = 256 << 10;
const SAMPLE: Duration = Duration::from_millis(50);

pub(crate) async fn run() {
    let backend = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = backend.local_addr().expect("an address");
    tokio::spawn(serve(backend));
    let daemons = Daemons::start(1).await;
    daemons.api.register("web", address).await.expect("registered");
    daemons.api.settled(1).await;
    let (proxy, traffic) = (&daemons.proxies[0], daemons.traffic[0]);

    let up = tokio::spawn(async move { upload(traffic).await.expect("an upload") });
    watch("up", proxy, up).await;
    let down = tokio::spawn(async move { download(traffic).await.expect("a download") });
    watch("down", proxy, down).await;
}

/// Samples the proxy's memory until the transfer ends, and reports.
async fn watch(direction: &str, proxy: &weir_tests::Process, mut transfer: JoinHandle<u64>) {
    let (began, before) = (Instant::now(), proxy.resident());
    let (mut samples, mut ticks) = (Vec::new(), interval(SAMPLE));
    let bytes = loop {
        tokio::select! {
            bytes = &mut transfer => break bytes.expect("a transfer"),
            _ = ticks.tick() => samples.push(proxy.resident()),
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let most = samples.iter().max().copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let speed = bytes as f64 / seconds / f64::from(1 << 20);
    println!(
        "{direction}: {} GiB in {seconds:.1} s ({speed:.0} MiB/s); the proxy's memory: {before} KiB before, \
         at most {most} KiB in {} samples, {} KiB after",
        bytes >> 30,
        samples.len(),
        proxy.resident()
    );
}

async fn upload(proxy: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream
        .write_all(format!("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: {BODY}\r\n\r\n").as_bytes())
        .await?;
    send(&mut stream).await?;
    let mut answer = vec![0; 1 << 10];
    let length = stream.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    let told = answer.lines().find_map(|line| line.strip_prefix("x-received: "));
    told.and_then(|bytes| bytes.parse().ok()).ok_or_else(|| io::Error::other(answer))
}

async fn download(proxy: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await?;
    Ok(discard(&mut stream, u64::MAX).await?.min(BODY))
}

/// Answers a request with a body by saying how much arrived, and one without by a body.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"PUT") {
        let received = discard(&mut stream, BODY).await?;
        let answer = format!("HTTP/1.1 200 OK\r\nx-received: {received}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    } else {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").as_bytes()).await?;
        send(&mut stream).await
    }
}

async fn send(stream: &mut TcpStream) -> io::Result<()> {
    let piece = vec![b'w'; PIECE];
    for _ in 0..BODY / PIECE as u64 {
        stream.write_all(&piece).await?;
    }
    Ok(())
}

/// Reads up to this many bytes, or to the end. How many there were.
async fn discard(stream: &mut TcpStream, most: u64) -> io::Result<u64> {
    let (mut piece, mut total) = (vec![0; PIECE], 0);
    while total < most {
        match stream.read(&mut piece).await? {
            0 => break,
            length => total += length as u64,
        }
    }
    Ok(total)
}
