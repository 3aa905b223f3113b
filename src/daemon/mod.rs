//! The daemon: reconciliations when they are due, until it is told to stop.
//!
//! One thread waits for events, signals and requests; another makes the reconciliations ([`worker`], [`reconcile`](crate::reconcile)), so that waiting never
//! stops. What happened is kept in the [`status`], and the [`control`] socket shows it and takes requests.

pub mod status;

mod schedule;

mod metrics;

pub mod control;

pub mod client;

mod status_tracker;

mod log;

pub mod worker;

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::control::{PendingRequest, Request, Shared, Socket};
use self::schedule::{Schedule, Timing};
use self::worker::{Retry, Worker};
use crate::apply::ApplyError;
use crate::settings::{Settings, SettingsError};
use crate::source::watch::Watcher;
use crate::telemetry::systemd;
use crate::words::with_causes;

/// A reconciliation that takes longer than this hangs, and the watchdog may have the process. Every step of a reconciliation has a limit of
/// its own that is far below.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(600);

/// A reconciliation that is still under way this long after the daemon was told to stop is abandoned, as a crash would.
const LONGEST_END: Duration = Duration::from_secs(20);

/// Reloads that are under way this long after the daemon was told to stop are left to the next start.
const LONGEST_RELOADS: Duration = Duration::from_secs(5);

/// Requests that may wait.
const REQUESTS: usize = 16;

/// Why the daemon ends, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The daemon may not publish.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The system gives it no threads or signals.
    #[error("cannot wait for events")]
    System(#[from] io::Error),
}

/// Reads the settings again.
pub type Load = Box<dyn Fn() -> Result<Settings, SettingsError>>;

/// Makes reconciliations until `SIGTERM` or `SIGINT` comes. A second one of these ends the process at once.
///
/// `SIGHUP` reads the settings again by `load`; those that are wrong are not taken.
///
/// # Errors
/// When it cannot begin: another process publishes to the same directory, or the system refuses what waiting needs.
pub fn run(settings: Settings, load: Load, color: bool) -> Result<(), DaemonError> {
    let worker = Worker::new(settings, color)?;
    // Waiting takes one thread, a reconciliation another.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .enable_io()
        .build()?;
    runtime.block_on(async { Daemon::new(worker, load)?.run().await })
}

/// The worker, and the result of its work.
type Done = (Box<Worker>, Work);

/// The result of work.
enum Work {
    /// A reconciliation, and when to go on with what it left open.
    Reconciliation(Option<Retry>),
    /// Reloads that had ended were taken over.
    Reloads,
}

/// The state of the loop.
struct Daemon {
    /// At work it is `None`.
    worker: Option<Box<Worker>>,
    /// The reconciliation or other work under way, and when it began.
    work: Option<(Instant, JoinHandle<Done>)>,
    schedule: Schedule,
    load: Load,
    signals: Signals,
    wake: Arc<Notify>,
    reloaded: Arc<Notify>,
    requests: mpsc::Receiver<PendingRequest>,
    pending: Vec<PendingRequest>,
    is_reload_due: bool,
    is_ready: bool,
    /// Set when the daemon was told to stop: when it ends at the latest.
    stop_by: Option<Instant>,
    shared: Arc<Shared>,
    socket_path: PathBuf,
    socket: Option<Socket>,
}

/// An event that the loop waits for.
enum Event {
    Due,
    Changed,
    Signal(i32),
    PendingRequest(PendingRequest),
    Finished(Done),
    Reloaded,
    Alive,
    Stop,
}

impl Daemon {
    fn new(mut worker: Worker, load: Load) -> Result<Self, DaemonError> {
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let (sender, requests) = mpsc::channel(REQUESTS);
        let shared = Shared::new(sender);
        worker.shared = Some(Arc::clone(&shared));
        let wake = Arc::new(Notify::new());
        worker.watcher = Some(Watcher::new(&worker.settings().sources(), Arc::clone(&wake)));
        let reloaded = Arc::new(Notify::new());
        let to_wake = Arc::clone(&reloaded);
        worker.on_reload(move || to_wake.notify_one());
        let settings = worker.settings();
        let socket_path = client::socket(settings)?;
        Ok(Self {
            schedule: Schedule::new(timing(settings), Instant::now()),
            socket: listen(settings, &socket_path, &shared),
            socket_path,
            worker: Some(Box::new(worker)),
            stop_by: None,
            work: None,
            load,
            signals,
            wake,
            reloaded,
            requests,
            shared,
            pending: Vec::new(),
            is_reload_due: false,
            is_ready: false,
        })
    }

    async fn run(mut self) -> Result<(), DaemonError> {
        let mut alive = systemd::watchdog().map(|every| {
            let mut alive = interval(every);
            alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
            alive
        });
        loop {
            let event = tokio::select! {
                event = self.event() => event?,
                _ = tick(&mut alive) => Event::Alive,
            };
            match event {
                Event::Alive => self.feed(),
                Event::Changed => self.schedule.changed(Instant::now()),
                Event::Due => self.begin(),
                Event::Reloaded => self.collect(),
                Event::Signal(SIGHUP) => {
                    self.is_reload_due = true;
                    self.schedule.ask();
                }
                Event::Signal(signal) => {
                    if self.stop_by.replace(Instant::now() + LONGEST_END).is_some() {
                        std::process::exit(128 + signal);
                    }
                    systemd::stopping();
                    if self.work.is_none() {
                        break;
                    }
                }
                Event::Stop => {
                    // Whatever is under way, the next start goes on with it.
                    tracing::warn!("a reconciliation takes long; what it did not come to is done at the next start");
                    std::process::exit(0);
                }
                Event::PendingRequest(asked) => {
                    self.is_reload_due |= asked.request == Request::Reload;
                    self.pending.push(asked);
                    self.schedule.ask();
                }
                Event::Finished((worker, work)) => {
                    self.finish(worker, &work);
                    if self.stop_by.is_some() {
                        break;
                    }
                }
            }
        }
        self.end().await;
        Ok(())
    }

    async fn event(&mut self) -> io::Result<Event> {
        let (at, _) = self.schedule.next();
        let stop_by = self.stop_by;
        let is_idle = self.work.is_none();
        tokio::select! {
            finished = finished(&mut self.work) => {
                Ok(Event::Finished(finished.map_err(io::Error::other)?))
            }
            signal = next(&mut self.signals) => Ok(Event::Signal(signal)),
            Some(asked) = self.requests.recv() => Ok(Event::PendingRequest(asked)),
            () = self.wake.notified() => Ok(Event::Changed),
            () = self.reloaded.notified(), if is_idle => Ok(Event::Reloaded),
            () = sleep_until(at), if is_idle => Ok(Event::Due),
            () = sleep_until(stop_by.unwrap_or(at)), if stop_by.is_some() => Ok(Event::Stop),
        }
    }

    /// Begins the reconciliation that is due.
    fn begin(&mut self) {
        let (_, reason) = self.schedule.next();
        let Some(mut worker) = self.worker.take() else { return };
        if std::mem::take(&mut self.is_reload_due) {
            self.reload(&mut worker);
        }
        self.schedule.begin(Instant::now());
        let asked = std::mem::take(&mut self.pending);
        tracing::debug!("looking: {reason:?}");
        let work = tokio::task::spawn_blocking(move || {
            let retry = worker.work(reason, asked);
            (worker, Work::Reconciliation(retry))
        });
        self.work = Some((Instant::now(), work));
    }

    /// Takes over reloads that have ended.
    fn collect(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        // It remembers them on disk, which may take its time.
        let work = tokio::task::spawn_blocking(move || {
            worker.collect_reloads();
            (worker, Work::Reloads)
        });
        self.work = Some((Instant::now(), work));
    }

    /// Waits a little for reloads, unless it is told once more to end.
    async fn end(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        let ended = tokio::task::spawn_blocking(move || {
            worker.finish_reloads(Some(LONGEST_RELOADS));
            worker.leave_word();
        });
        tokio::select! {
            _ = ended => {}
            signal = next(&mut self.signals) => std::process::exit(128 + signal),
        }
    }

    fn finish(&mut self, mut worker: Box<Worker>, work: &Work) {
        self.work = None;
        match work {
            Work::Reconciliation(Some((first, longest))) => self.schedule.retry(*first, *longest, Instant::now()),
            Work::Reconciliation(None) => self.schedule.settled(),
            Work::Reloads => {}
        }
        worker.leave_word();
        if self.socket.is_some() && !self.socket_path.exists() {
            // It went with its directory.
            self.socket = None;
            self.socket = listen_on_socket(&self.socket_path, &self.shared);
        }
        let status = &worker.tracker.status;
        if std::mem::replace(&mut self.is_ready, true) {
            systemd::status(&status.line());
        } else {
            systemd::ready(&status.line());
        }
        self.worker = Some(worker);
    }

    /// Takes the settings as they are on disk now, if they can be used.
    fn reload(&mut self, worker: &mut Worker) {
        systemd::reloading();
        // The end of the reconciliation says that the reload has ended, whatever came of it.
        self.is_ready = false;
        let refused = match (self.load)() {
            Ok(settings) => self.take(settings, worker).err(),
            Err(error) => Some(with_causes(&error)),
        };
        match &refused {
            None => tracing::info!("the settings were read again"),
            Some(why) => tracing::error!("{why}; the settings from before are in use"),
        }
        worker.tracker.settings(refused, Utc::now());
    }

    fn take(&mut self, settings: Settings, worker: &mut Worker) -> Result<(), String> {
        let target = worker::target(&settings).map_err(|error| with_causes(&error))?;
        let before = worker.settings();
        if settings.out != before.out {
            return Err("`out` cannot change while the daemon runs: restart it".to_owned());
        }
        if settings.control != before.control {
            return Err("`control` cannot change while the daemon runs: restart it".to_owned());
        }
        self.schedule.set_timing(timing(&settings));
        if settings.sources() != before.sources() {
            worker.watcher = Some(Watcher::new(&settings.sources(), Arc::clone(&self.wake)));
        }
        worker.set_settings(settings, target);
        Ok(())
    }

    /// A sign of life, unless a reconciliation hangs.
    fn feed(&self) {
        match &self.work {
            Some((began, _)) if began.elapsed() > RECONCILE_TIMEOUT => {
                tracing::error!(
                    "a reconciliation hangs for more than {RECONCILE_TIMEOUT:?}; the watchdog is not fed any more"
                );
            }
            _ => systemd::alive(),
        }
    }
}

fn timing(settings: &Settings) -> Timing {
    Timing {
        debounce: settings.debounce.0,
        debounce_max: settings.debounce_max.0,
        rescan: settings.rescan.0,
    }
}

/// Opens the control socket, and the port where one is wanted. Without them the daemon still does its work.
fn listen(settings: &Settings, path: &Path, shared: &Arc<Shared>) -> Option<Socket> {
    if let Some(address) = settings.control.listen
        && let Err(error) = control::listen_on_port(address.0, shared)
    {
        tracing::warn!("cannot listen on {address}: {error}; status and metrics are on the socket only");
    }
    listen_on_socket(path, shared)
}

fn listen_on_socket(path: &Path, shared: &Arc<Shared>) -> Option<Socket> {
    let socket = control::listen_on_socket(path, shared);
    if let Err(error) = &socket {
        let path = path.display();
        tracing::warn!("cannot listen on {path}: {error}; `meshtraced status` and requests find no daemon");
    }
    socket.ok()
}

/// The end of the work under way; never when there is none.
async fn finished<T>(work: &mut Option<(Instant, JoinHandle<T>)>) -> Result<T, tokio::task::JoinError> {
    match work {
        Some((_, work)) => work.await,
        None => pending().await,
    }
}

async fn tick(alive: &mut Option<tokio::time::Interval>) {
    match alive {
        Some(alive) => {
            alive.tick().await;
        }
        None => pending().await,
    }
}

/// The next signal.
async fn next(signals: &mut Signals) -> i32 {
    match std::future::poll_fn(|context| futures_core::Stream::poll_next(Pin::new(&mut *signals), context)).await {
        Some(signal) => signal,
        // The stream ends only when it is closed, which nobody does.
        None => pending().await,
    }
}
