//! One command from its request to its exit code.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{WaitId, WaitIdOptions, waitid},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Settings,
    input::{self, Queue},
    output::{self, Kind, Outgoing},
    request::{Plan, failed, plan},
    terminal,
};
use crate::{
    stream::Stream,
    sys::{
        launch::{Child, Launch, LaunchError, Step, launch},
        signals::signal_group,
    },
    wire::{
        ExecReply, ExecRequest, Packet,
        frame::{GUEST_FRAME_MAX, HOST_FRAME_MAX},
    },
};

/// Time for a whole request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Between SIGHUP and SIGKILL for a command whose host went away.
const HANGUP_GRACE: Duration = Duration::from_secs(1);

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// Its process and process group.
    pub pid: u32,
    /// Readable once it has ended.
    ended: Stream,
    /// Our side of its terminal.
    pub terminal: Option<Arc<Stream>>,
    /// Where its input goes; without any, it has `/dev/null`.
    stdin: Option<Arc<Stream>>,
    /// Where its output comes from.
    outputs: Vec<(Kind, Arc<Stream>)>,
}

/// Serves one stream.
///
/// # Errors
/// When the stream breaks or the host does not keep to the protocol; the command is ended then.
pub async fn run(stream: Arc<Stream>, settings: &Settings) -> io::Result<()> {
    let request: ExecRequest =
        timeout(REQUEST_TIMEOUT, stream.read_frame(HOST_FRAME_MAX)).await.map_err(io::Error::other)??;
    let started = plan(&request, settings).and_then(|plan| start(&request, &plan, settings));
    let running = match started {
        Ok(running) => running,
        Err(reply) => return stream.write_frame(&reply, GUEST_FRAME_MAX).await,
    };
    let served = serve(&stream, running).await;
    stream.shutdown(std::net::Shutdown::Write);
    served
}

async fn serve(stream: &Arc<Stream>, mut running: Running) -> io::Result<()> {
    let out = Outgoing::new(Arc::clone(stream));
    let queue = Queue::default();
    let (tell_end, ended) = watch::channel(None);
    let (stdin, outputs) = (running.stdin.take(), std::mem::take(&mut running.outputs));
    let is_terminal = running.terminal.is_some();
    let reply = ExecReply::Started { pid: running.pid };

    let to_host = async {
        stream.write_frame(&reply, GUEST_FRAME_MAX).await?;
        let pump = |at: usize| {
            let (from, ended) = (outputs.get(at), ended.clone());
            let out = &out;
            async move {
                match from {
                    Some((kind, from)) => output::pump(from, *kind, ended, out).await,
                    None => Ok(()),
                }
            }
        };
        let code = async {
            running.ended.readable().await?;
            tell_end.send_replace(Some(Instant::now()));
            Ok(())
        };
        tokio::try_join!(pump(0), pump(1), code).map(drop)
    };
    let from_host = async {
        let fed = async {
            input::feed(&queue, stdin, is_terminal, &out).await?;
            std::future::pending::<io::Result<()>>().await
        };
        tokio::try_join!(input::receive(stream, &queue, &running), fed).map(drop)
    };
    let result = tokio::select! {
        result = to_host => result,
        // Only ever ends with an error: the host is gone, or breaks the protocol.
        result = from_host => result,
    };
    match result {
        Ok(()) => out.send(&Packet::Exit(bury(&running)?)).await,
        Err(error) => {
            hang_up(&running).await;
            Err(error)
        }
    }
}

/// The exit code of a command that has ended.
fn bury(running: &Running) -> io::Result<u8> {
    let status = waitid(WaitId::PidFd(running.ended.as_fd()), WaitIdOptions::EXITED)?;
    let Some(status) = status else { return Ok(255) };
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128_u8.saturating_add(signal as u8),
        (None, None) => 255,
    })
}

/// Ends a command that nobody waits for. Its group's number stays taken until it is buried, so no stranger is hit.
async fn hang_up(running: &Running) {
    signal_group(running.pid, libc::SIGHUP);
    signal_group(running.pid, libc::SIGCONT);
    if timeout(HANGUP_GRACE, running.ended.readable()).await.is_err() {
        signal_group(running.pid, libc::SIGKILL);
        let _ = running.ended.readable().await;
    }
    let _ = bury(running);
}

/// Our sides and the command's sides of its three standard descriptors.
struct Wiring {
    theirs: [OwnedFd; 3],
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    outputs: Vec<(Kind, OwnedFd)>,
}

fn wire(request: &ExecRequest, plan: &Plan) -> io::Result<Wiring> {
    if let Some(size) = request.tty {
        let (ours, theirs) = terminal::open(size, plan.account.identity.uid)?;
        let theirs = [theirs.try_clone()?, theirs.try_clone()?, theirs];
        return Ok(Wiring { theirs, terminal: Some(ours), stdin: None, outputs: Vec::new() });
    }
    let (stdin, our_stdin) = if request.stdin {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        (theirs, Some(ours))
    } else {
        (std::fs::File::open("/dev/null")?.into(), None)
    };
    let (our_stdout, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (our_stderr, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let outputs = vec![(Kind::Stdout, our_stdout), (Kind::Stderr, our_stderr)];
    Ok(Wiring { theirs: [stdin, stdout, stderr], terminal: None, stdin: our_stdin, outputs })
}

fn start(request: &ExecRequest, plan: &Plan, settings: &Settings) -> Result<Running, ExecReply> {
    let failure = |error: io::Error| failed(125, format!("cannot start {}: {error}", request.argv[0]));
    let wiring = wire(request, plan).map_err(failure)?;
    let child = match launch_wired(request, plan, settings, &wiring) {
        Err(LaunchError { step: Step::Execute, source }) if source.raw_os_error() == Some(libc::ENOEXEC) => {
            // As shells and execvp(3) do with a script that names no interpreter.
            launch_wired(request, &as_script(plan), settings, &wiring)
        }
        launched => launched,
    };
    let child = child.map_err(|error| explain(&error, request))?;
    running(child, wiring).map_err(failure)
}

fn launch_wired(
    request: &ExecRequest,
    plan: &Plan,
    settings: &Settings,
    wiring: &Wiring,
) -> Result<Child, LaunchError> {
    let procs = settings.agent_procs.as_ref().filter(|_| plan.confined);
    let us = rustix::process::geteuid().as_raw();
    launch(&Launch {
        paths: &plan.paths,
        arguments: &plan.arguments,
        environment: &plan.environment,
        stdio: [wiring.theirs[0].as_fd(), wiring.theirs[1].as_fd(), wiring.theirs[2].as_fd()],
        working_dir: &plan.working_dir,
        // Run by an ordinary user (a test), the server starts that user's programs as they are; for another user it
        // tries, and the kernel refuses.
        identity: (us == 0 || us != plan.account.identity.uid).then_some(&plan.account.identity),
        terminal: request.tty.is_some(),
        cgroup: procs.map(AsFd::as_fd),
    })
}

fn as_script(plan: &Plan) -> Plan {
    let is_there =
        |path: &&std::ffi::CString| path.to_str().is_ok_and(|path| std::fs::metadata(path).is_ok());
    let script = plan.paths.iter().find(is_there).or(plan.paths.first()).cloned().unwrap_or_default();
    let rest = plan.arguments.iter().skip(1).cloned();
    Plan {
        account: plan.account.clone(),
        arguments: [c"sh".into(), script].into_iter().chain(rest).collect(),
        environment: plan.environment.clone(),
        paths: vec![c"/bin/sh".into()],
        working_dir: plan.working_dir.clone(),
        confined: plan.confined,
    }
}

/// The code a shell would give, and a sentence.
fn explain(error: &LaunchError, request: &ExecRequest) -> ExecReply {
    let (program, source) = (&request.argv[0], &error.source);
    match (error.step, source.raw_os_error()) {
        (Step::Execute, Some(libc::ENOENT)) => failed(127, format!("{program}: not found in the sandbox")),
        (Step::Execute, _) => failed(126, format!("{program}: {source}")),
        (Step::WorkingDir, _) => failed(125, format!("cannot enter the working directory: {source}")),
        (step, _) => failed(125, format!("cannot start {program} ({step:?}): {source}")),
    }
}

fn running(child: Child, wiring: Wiring) -> io::Result<Running> {
    let shared = |fd: OwnedFd| Stream::new(fd).map(Arc::new);
    let terminal = wiring.terminal.map(shared).transpose()?;
    let mut outputs = Vec::new();
    for (kind, fd) in wiring.outputs {
        outputs.push((kind, shared(fd)?));
    }
    if let Some(terminal) = &terminal {
        outputs.push((Kind::Stdout, Arc::clone(terminal)));
    }
    let stdin = match wiring.stdin {
        Some(fd) => Some(shared(fd)?),
        None => terminal.clone(),
    };
    Ok(Running { pid: child.pid, ended: Stream::only_awaited(child.pidfd)?, terminal, stdin, outputs })
}
