//! The ends of connections, told apart by what the client must be able to read and to conclude.

use std::{future::poll_fn, rc::Rc};

use tokio::time::{self, Duration};

use super::Client;
use crate::{
    buffer::Buffer,
    stream::{Io, Stream},
};

/// How long, and for how many bytes, a client's rest is read so that it can read the answer: a socket that is closed
/// with bytes unread is reset, and takes the answer along.
const LINGER: Duration = Duration::from_secs(1);
/// Many clients write all of a request before they read, and give up on the answer when they cannot.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client has gone, or nothing is owed to it.
    Plain,
    /// The client must be able to read all that was sent.
    Linger,
    /// A plain close would look like the good end of what was cut.
    Reset,
}

pub(super) async fn close(client: &Rc<Client>, io: Io, ending: Ending) {
    match ending {
        Ending::Plain => {}
        Ending::Linger => linger(client, &io).await,
        Ending::Reset => reset(&io.into_inner()),
    }
}

/// So that nothing waits to be sent, and the client sees an error.
pub(super) fn reset(stream: &Stream) {
    // It fails only where the connection has gone already.
    let _ = socket2::SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
}

async fn linger(client: &Rc<Client>, io: &Io) {
    let mut buffer = Buffer::none();
    client.local.buffers().lend(&mut buffer);
    let rest = async {
        poll_fn(|cx| io.poll_shutdown(cx)).await?;
        let mut left = LINGER_BYTES;
        while left > 0 {
            match poll_fn(|cx| io.poll_read(cx, buffer.room())).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whatever happens here: the connection is over.
    let _ = time::timeout(LINGER, rest).await;
    client.local.buffers().take_back(&mut buffer);
}
