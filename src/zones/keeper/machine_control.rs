//! The machine's control socket (QMP). The keeper hears when the machine paused because the host's disk is full, and
//! lets it go on when there is room again. Everything on this socket may come from a machine taken over by its guest:
//! lines are bounded, and none of them makes the keeper do more than that.

use std::{io, os::unix::net::UnixStream as StdUnixStream, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::book::Book;

/// Longest line that is looked at, in bytes.
const LINE_MAX: u64 = 64 * 1024;
/// How long a machine stays paused before it tries to write again.
const RETRY: Duration = Duration::from_secs(5);

/// Listens until the machine ends.
pub(super) fn watch(control: StdUnixStream, book: Rc<Book>) -> io::Result<()> {
    control.set_nonblocking(true)?;
    let stream = UnixStream::from_std(control)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = listen(stream, &book).await {
            book.complain(&format!("the machine's control socket: {error}"));
        }
    });
    Ok(())
}

async fn listen(stream: UnixStream, book: &Book) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    write.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").await?;
    let mut reader = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(&line) else { continue };
        if message["event"] == "BLOCK_IO_ERROR" && message["data"]["nospace"] == true {
            book.complain("DiskFull: the host's disk is full; the machine is paused and tries again");
            tokio::time::sleep(RETRY).await;
            write.write_all(b"{\"execute\":\"cont\"}\n").await?;
        }
    }
}
