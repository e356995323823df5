//! The guest's network in a network namespace of its own, with the host played by unix sockets.
//!
//! Each test runs on a thread that has left the machine's namespace. That, and BPF, take root: as another user the
//! tests say that they are skipped; as root they fail where it is impossible.

mod container;
mod dns;
mod relay;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixListener, UnixStream},
    time::timeout,
};

use super::Network;
use crate::{
    stream::Host,
    sys::leave_network_namespace,
    wire::{StreamHeader, port, stream::HEADER_LENGTH},
};

/// Far beyond what a test takes.
pub const HANG: Duration = Duration::from_secs(20);

/// Whether these tests can run here. Where they cannot they fail, unless whoever runs them has said to go without: a test
/// that passes has shown something.
pub fn can_run() -> bool {
    let root = rustix::process::geteuid().is_root();
    let without = std::env::var_os("COFFERDAM_TEST_WITHOUT_ROOT").is_some();
    assert!(
        root || without,
        "network namespaces and BPF need root; COFFERDAM_TEST_WITHOUT_ROOT=1 leaves these tests out"
    );
    root
}

/// Runs `test` in a fresh namespace with the network up and the host's side of it.
pub fn in_guest<F: Future<Output = ()>>(limit: usize, test: impl FnOnce(Egress) -> F + Send + 'static) {
    if !can_run() {
        return;
    }
    let body = move || {
        leave_network_namespace();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let network = Network::set_up().expect("the network of a fresh namespace");
            let egress = Egress::open();
            let host = Host::Folder(egress.folder.clone());
            let serving = tokio::spawn(network.run(host, limit));
            timeout(HANG, test(egress)).await.expect("a hang");
            assert!(!serving.is_finished(), "the network's service has ended");
        });
    };
    std::thread::spawn(body).join().unwrap();
}

/// The host's end.
pub struct Egress {
    pub folder: PathBuf,
    listener: UnixListener,
}

impl Egress {
    fn open() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("cofferdam-net-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(port::HOST_EGRESS.to_string());
        let _ = std::fs::remove_file(&path);
        Self { listener: UnixListener::bind(path).unwrap(), folder }
    }

    /// The next stream, with its header.
    pub async fn accept(&self) -> (StreamHeader, UnixStream) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut header = [0; HEADER_LENGTH];
        stream.read_exact(&mut header).await.unwrap();
        (StreamHeader::decode(header).unwrap(), stream)
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A program of the guest connects.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address.parse::<SocketAddr>().unwrap()).await
}
