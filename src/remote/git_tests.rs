//! A repository over TLS on the loopback, served by git's own server, as others serve one.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

/// The server's program, where git has it.
fn backend() -> Option<PathBuf> {
    let folders = ["/usr/lib/git-core", "/usr/libexec/git-core", "/usr/local/libexec/git-core"];
    folders.iter().map(|folder| Path::new(folder).join("git-http-backend")).find(|path| path.is_file())
}

/// Serves the repositories below a folder for as long as the test runs; its address and its authority's certificate.
fn serve(backend: PathBuf, root: PathBuf) -> (SocketAddr, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["kits.test".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        Arc::new(config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not believe the certificate goes away.
            let _ = answer(StreamOwned::new(tls, stream), &backend, &root);
        }
    });
    (address, authority.pem())
}

/// One request, by the rules of CGI (RFC 3875).
fn answer(stream: StreamOwned<ServerConnection, TcpStream>, backend: &Path, root: &Path) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path.starts_with("/moved/") {
        let there = format!(
            "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            target.replacen("/moved", "", 1)
        );
        return stream.get_mut().write_all(there.as_bytes());
    }
    let mut server = Start::new(backend)
        .variable("GIT_PROJECT_ROOT", root)
        .variable("GIT_HTTP_EXPORT_ALL", "1")
        .variable("REQUEST_METHOD", method)
        .variable("PATH_INFO", path)
        .variable("QUERY_STRING", query)
        .variable("CONTENT_TYPE", header("content-type"))
        .variable("CONTENT_LENGTH", body.len().to_string())
        .variable("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .variable("GIT_PROTOCOL", header("git-protocol"))
        .variable("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    server.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&body))?;
    let said = server.wait_with_output()?.stdout;
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(said.len());
    let head = String::from_utf8_lossy(&said[..end]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let length = said.len() - (end + 4).min(said.len());
    let head =
        format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(&said[(end + 4).min(said.len())..])?;
    stream.conn.send_close_notify();
    stream.flush()
}

#[test]
fn a_commit_comes_over_tls_from_whom_the_operator_believes() {
    let Some(backend) = backend() else { return };
    let folder = tempfile::tempdir().unwrap();
    let served = git2::Repository::init_bare(folder.path().join("served/acme")).unwrap();
    served.set_head("refs/heads/main").unwrap();
    let tree = served.treebuilder(None).unwrap().write().unwrap();
    let who = git2::Signature::new("a", "a@x.example", &git2::Time::new(1, 0)).unwrap();
    let commit = |parents: &[&git2::Commit<'_>]| {
        let tree = served.find_tree(tree).unwrap();
        served.commit(Some("refs/heads/main"), &who, &who, "x", &tree, parents).unwrap()
    };
    let first = commit(&[]);
    let second = commit(&[&served.find_commit(first).unwrap()]);

    let (address, authority) = serve(backend, folder.path().join("served"));
    let believed = folder.path().join("authority.pem");
    fs::write(&believed, authority).unwrap();
    let at = |path: &str| {
        format!("git+https://kits.test:{}{path}#ref=main", address.port()).parse::<GitSource>().unwrap()
    };
    let resolve = BTreeMap::from([(format!("kits.test:{}", address.port()), address)]);
    let cache = KitCache::below(folder.path());
    let git = |authorities: &[PathBuf]| {
        let search = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
        let git = Git { search, env: &|_| None, resolve: &resolve, authorities };
        let fetch = |source: &GitSource, pinned: Option<git2::Oid>| {
            let pinned = pinned.map(|it| it.to_string());
            git.fetch(source, pinned.as_deref(), &cache).map(|fetched| fetched.id)
        };
        (fetch(&at("/acme"), None), fetch(&at("/acme"), Some(first)), fetch(&at("/moved/acme"), None))
    };
    let (now, pinned, moved) = git(std::slice::from_ref(&believed));
    assert_eq!((now.unwrap(), pinned.unwrap()), (second.to_string(), first.to_string()));
    let moved = moved.unwrap_err().to_string();
    assert!(moved.contains("git did not fetch https://kits.test:"), "no redirection is followed: {moved}");
    // The break: a certificate of nobody that is believed.
    let (stranger, ..) = git(&[]);
    assert!(stranger.unwrap_err().to_string().to_lowercase().contains("certificate"));
    assert_eq!(fs::read_dir(folder.path().join("kits")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn git_cannot_follow_the_operator_to_another_port() {
    let source: GitSource = "git+https://kits.test/acme".parse().unwrap();
    let resolve = BTreeMap::from([("kits.test:443".to_owned(), SocketAddr::from(([127, 0, 0, 1], 8443)))]);
    let folder = tempfile::tempdir().unwrap();
    let search = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let git = Git { search, env: &|_| None, resolve: &resolve, authorities: &[] };
    let error = git.fetch(&source, None, &KitCache::below(folder.path())).unwrap_err();
    assert!(matches!(error, FetchError::Port(_)), "{error}");
}
