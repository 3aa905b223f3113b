//! The daemon: reconciles whenever events, signals or requests ask for it, until it is told to stop.
//!
//! One thread waits for events, signals and requests; another makes the reconciliations ([`worker`],
//! [`reconcile`](crate::reconcile)), so that waiting never stops. What happened is kept in the [`status`], and the
//! [`control`] socket shows it and takes requests.

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
use crate::telemetry::systemd;
use crate::words::with_causes;

/// Time after which a reconciliation counts as hung, and the watchdog may kill the process. Every step of a
/// reconciliation has a limit of its own far below this one.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(600);

/// Time for a reconciliation to finish after the daemon was told to stop. Then it is abandoned, as in a crash.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Time for reloads to finish after the daemon was told to stop. The next start makes the rest.
const STOP_RELOADS_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit for requests that wait.
const MAX_PENDING_REQUESTS: usize = 16;

/// The errors that end the daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The output directory cannot be used.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The system refuses threads or signals.
    #[error("cannot wait for events")]
    System(#[from] io::Error),
}

/// A function that reads the settings again.
pub type LoadSettings = Box<dyn Fn() -> Result<Settings, SettingsError>>;

/// Reconciles until `SIGTERM` or `SIGINT` comes. A second such signal ends the process at once.
///
/// `SIGHUP` reads the settings again with `load`; invalid ones are rejected, and those in use stay.
///
/// # Errors
/// When another process publishes to the same directory, or the system refuses threads or signals.
pub fn run(settings: Settings, load: LoadSettings, color: bool) -> Result<(), DaemonError> {
    let worker = Worker::new(settings, color)?;
    // One thread waits, another reconciles.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .enable_io()
        .build()?;
    runtime.block_on(async { Daemon::new(worker, load)?.run().await })
}

/// The worker, and the result of its work.
type Done = (Box<Worker>, Work);

/// The result of the worker's work.
enum Work {
    /// A reconciliation has ended; the delay to the next one if it left something open.
    Reconciliation(Option<Retry>),
    /// Reloads that had ended were recorded.
    Reloads,
}

/// The state of the main loop.
struct Daemon {
    /// `None` while it is at work.
    worker: Option<Box<Worker>>,
    /// The work under way, and when it began.
    work: Option<(Instant, JoinHandle<Done>)>,
    schedule: Schedule,
    load: LoadSettings,
    signals: Signals,
    wake: Arc<Notify>,
    reloaded: Arc<Notify>,
    requests: mpsc::Receiver<PendingRequest>,
    pending: Vec<PendingRequest>,
    is_reload_due: bool,
    is_ready: bool,
    /// Deadline for the end, once the daemon was told to stop.
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
    fn new(mut worker: Worker, load: LoadSettings) -> Result<Self, DaemonError> {
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let (sender, requests) = mpsc::channel(MAX_PENDING_REQUESTS);
        let shared = Shared::new(sender);
        worker.shared = Some(Arc::clone(&shared));
        let wake = Arc::new(Notify::new());
        worker.watch(Arc::clone(&wake));
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
                    if self.stop_by.replace(Instant::now() + STOP_TIMEOUT).is_some() {
                        std::process::exit(128 + signal);
                    }
                    systemd::stopping();
                    if self.work.is_none() {
                        break;
                    }
                }
                Event::Stop => {
                    // The next start goes on with whatever is under way.
                    tracing::warn!("a reconciliation takes too long; the next start completes it");
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

    /// Starts the reconciliation that is due.
    fn begin(&mut self) {
        let (_, reason) = self.schedule.next();
        let Some(mut worker) = self.worker.take() else { return };
        if std::mem::take(&mut self.is_reload_due) {
            self.reload(&mut worker);
        }
        self.schedule.begin(Instant::now());
        let asked = std::mem::take(&mut self.pending);
        tracing::debug!("reconciling: {reason:?}");
        let work = tokio::task::spawn_blocking(move || {
            let retry = worker.work(reason, asked);
            (worker, Work::Reconciliation(retry))
        });
        self.work = Some((Instant::now(), work));
    }

    /// Starts to record the reloads that have ended.
    fn collect(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        // They are recorded on disk, which may be slow.
        let work = tokio::task::spawn_blocking(move || {
            worker.collect_reloads();
            (worker, Work::Reloads)
        });
        self.work = Some((Instant::now(), work));
    }

    /// Waits for reloads up to [`STOP_RELOADS_TIMEOUT`], unless a second signal comes.
    async fn end(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        let ended = tokio::task::spawn_blocking(move || {
            worker.finish_reloads(Some(STOP_RELOADS_TIMEOUT));
            worker.save_status();
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
        worker.save_status();
        if self.socket.is_some() && !self.socket_path.exists() {
            // The socket file went with its directory.
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

    /// Reads the settings from disk, and uses them if they are valid.
    fn reload(&mut self, worker: &mut Worker) {
        systemd::reloading();
        // The end of the reconciliation tells systemd that the reload has ended, with or without success.
        self.is_ready = false;
        let refused = match (self.load)() {
            Ok(settings) => self.take(settings, worker).err(),
            Err(error) => Some(with_causes(&error)),
        };
        match &refused {
            None => tracing::info!("the settings were read again"),
            Some(why) => tracing::error!("{why}; the previous settings stay in use"),
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
        let is_other = settings.sources() != before.sources();
        worker.set_settings(settings, target);
        if is_other {
            worker.watch(Arc::clone(&self.wake));
        }
        Ok(())
    }

    /// Feeds the watchdog, unless a reconciliation hangs.
    fn feed(&self) {
        match &self.work {
            Some((began, _)) if began.elapsed() > RECONCILE_TIMEOUT => {
                tracing::error!(
                    "a reconciliation has hung for {RECONCILE_TIMEOUT:?}; the watchdog will end the process"
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

/// Opens the control socket, and the port if the settings name one. The daemon does its work without them.
fn listen(settings: &Settings, path: &Path, shared: &Arc<Shared>) -> Option<Socket> {
    if let Some(address) = settings.control.listen
        && let Err(error) = control::listen_on_port(address.0, shared)
    {
        tracing::warn!("cannot listen on {address}: {error}; status and metrics are served on the socket only");
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

/// Waits for the end of the work under way; forever when there is none.
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

/// Waits for the next signal.
async fn next(signals: &mut Signals) -> i32 {
    match std::future::poll_fn(|context| futures_core::Stream::poll_next(Pin::new(&mut *signals), context)).await {
        Some(signal) => signal,
        // The stream ends only when it is closed, which nobody does.
        None => pending().await,
    }
}
