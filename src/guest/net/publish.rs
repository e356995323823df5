//! Connections of the host to ports of the guest's loopback: a server that listens there only is reached, too.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::relay;
use crate::{
    stream::{Listener, Stream},
    wire::{
        PortRequest,
        ports::{CONNECTED, REFUSED, REQUEST_LENGTH},
    },
};

/// Connections at a time; the host has a lower limit of its own.
const CONNECTIONS_MAX: usize = 1024;
/// Time for a request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries while nobody listens. The kernel announces no listener to anybody who may not see every socket of
/// the machine, so this asks again; the host bounds how long.
const RETRY: Duration = Duration::from_millis(50);

/// Serves the host for ever.
///
/// # Errors
/// When the listener fails.
pub async fn accept_for_ever(listener: &Listener) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = listener.accept().await?;
        // Beyond the limit the stream closes unanswered, which the host takes for a refusal.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        tokio::spawn(async move {
            // A host that went away has nobody to be told.
            let _ = serve(&stream).await;
            drop(place);
        });
    }
}

async fn serve(host: &Stream) -> io::Result<()> {
    let mut request = [0; REQUEST_LENGTH];
    timeout(REQUEST_TIMEOUT, host.read_exact(&mut request)).await.map_err(io::Error::other)??;
    let request = PortRequest::decode(request);
    let patience = Duration::from_millis(request.patience_ms.into());
    let Ok(server) = connect(request.port, patience).await else { return host.write_all(&[REFUSED]).await };
    let server = Stream::new(server.into_std()?.into())?;
    let _ = sockopt::set_tcp_nodelay(&server, true);
    host.write_all(&[CONNECTED]).await?;
    let joined = relay::join(host, &server).await;
    if joined.is_err() {
        // Whatever went wrong, the server must not take it for an orderly end.
        server.reset_on_close();
    }
    joined
}

/// Connects to the loopback, IPv4 first; tries again for as long as `patience` lasts.
async fn connect(port: u16, patience: Duration) -> io::Result<TcpStream> {
    let give_up = Instant::now() + patience;
    let addresses: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    loop {
        match TcpStream::connect(&addresses[..]).await {
            Err(_) if Instant::now() < give_up => sleep(RETRY).await,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixStream},
    };

    use super::*;

    /// The host's end of a stream that is served.
    fn asked() -> UnixStream {
        let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
        let guest = Stream::new(guest.into()).unwrap();
        tokio::spawn(async move {
            let _ = serve(&guest).await;
        });
        host.set_nonblocking(true).unwrap();
        UnixStream::from_std(host).unwrap()
    }

    async fn ask(port: u16, patience_ms: u32) -> (UnixStream, u8) {
        let mut host = asked();
        host.write_all(&PortRequest { port, patience_ms }.encode()).await.unwrap();
        let answer = host.read_u8().await.unwrap();
        (host, answer)
    }

    #[tokio::test]
    async fn a_server_on_either_loopback_is_reached_and_each_direction_ends_on_its_own() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(server) = TcpListener::bind(address).await else { continue };
            let port = server.local_addr().unwrap().port();
            let ((mut host, answer), accepted) = tokio::join!(ask(port, 0), server.accept());
            assert_eq!(answer, CONNECTED, "{address}");
            let mut program = accepted.unwrap().0;
            host.write_all(b"question").await.unwrap();
            host.shutdown().await.unwrap();
            let mut heard = String::new();
            program.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "question");
            program.write_all(b"answer").await.unwrap();
            drop(program);
            heard.clear();
            host.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "answer", "{address}");
        }
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_refused_and_a_late_server_is_waited_for() {
        let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        assert_eq!(ask(address.port(), 0).await.1, REFUSED);
        let late = async {
            sleep(RETRY * 2).await;
            TcpListener::bind(address).await.unwrap()
        };
        let ((_host, answer), _server) = tokio::join!(ask(address.port(), 20_000), late);
        assert_eq!(answer, CONNECTED);
    }

    #[tokio::test]
    async fn the_last_words_of_a_server_that_closes_early_arrive() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let ((mut host, _), accepted) = tokio::join!(ask(port, 0), server.accept());
        let mut program = accepted.unwrap().0;
        program.write_all(b"too large").await.unwrap();
        program.shutdown().await.unwrap();
        // More than every buffer on the way holds, and never read.
        let flood = vec![0; 4 << 20];
        let (mut from_guest, mut to_guest) = host.split();
        let sent = async {
            let _ = to_guest.write_all(&flood).await;
        };
        let mut heard = Vec::new();
        let heard_all = async {
            from_guest.read_to_end(&mut heard).await.unwrap();
            drop(program);
        };
        tokio::join!(sent, heard_all);
        assert_eq!(heard, b"too large");
    }
}
