//! Lines of log on their way to standard error.
//!
//! Whoever logs is a task of the runtime, with a transaction open perhaps, and standard error may be a
//! pipe that nobody reads or a file on a disk that stands still. So lines wait in a bounded queue for a
//! thread of their own: a line costs its task a copy, never a wait. What the queue does not hold is
//! lost, counted in a metric, and its number stands in the log as soon as that moves again.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use crate::limits::LOG_QUEUE_BYTES_MAX;
use crate::metrics::LOG_LOST;

/// What waits. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    more: Condvar,
    /// Everything is written.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Lines that found no room since the last one that did.
    lost: u64,
    /// Some are out of the queue and not yet written.
    writing: bool,
}

impl Lines {
    /// Starts the thread that writes to `output`; `told` is the line that says how many were lost. It
    /// lives as long as the process.
    pub(crate) fn start(
        output: impl Write + Send + 'static,
        told: fn(u64) -> String,
    ) -> io::Result<Self> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || shared.run(output, told))?;
        Ok(lines)
    }

    /// Waits until everything is written, but no longer than this: nobody may be reading.
    pub(crate) fn flush(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let mut queue = self.0.queue.lock();
        while queue.writing || !queue.bytes.is_empty() || queue.lost > 0 {
            if self.0.done.wait_until(&mut queue, until).timed_out() {
                return;
            }
        }
    }

    fn put(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        if queue.bytes.len() + line.len() > LOG_QUEUE_BYTES_MAX {
            queue.lost += 1;
            drop(queue);
            metrics::counter!(LOG_LOST).increment(1);
        } else {
            queue.bytes.extend_from_slice(line);
        }
        self.0.more.notify_one();
    }
}

impl Shared {
    fn run(&self, mut output: impl Write, told: fn(u64) -> String) {
        let mut taken = Vec::new();
        loop {
            {
                let mut queue = self.queue.lock();
                queue.writing = false;
                while queue.bytes.is_empty() && queue.lost == 0 {
                    self.done.notify_all();
                    self.more.wait(&mut queue);
                }
                queue.writing = true;
                std::mem::swap(&mut taken, &mut queue.bytes);
                // They came when the queue was full, so behind what was in it.
                let lost = std::mem::take(&mut queue.lost);
                drop(queue);
                if lost > 0 {
                    taken.extend_from_slice(told(lost).as_bytes());
                }
            }
            // An output that is broken takes no line, and there is nowhere to say so.
            let _ = output.write_all(&taken);
            let _ = output.flush();
            taken.clear();
            if taken.capacity() > KEPT {
                taken = Vec::new();
            }
        }
    }
}

/// Bytes of the thread's own buffer that are kept for the next lines.
const KEPT: usize = 64 * 1024;

/// Takes one line: the subscriber writes each with one call.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Gives what it is to write, and has written it when it is told so.
    struct Slow(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(lost: u64) -> String {
        format!("{lost} were lost\n")
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_counted() {
        let ((go, wait), (write, written)) = (channel(), channel());
        let lines = Lines::start(Slow(write, wait), told).unwrap();
        lines.put(b"first\n");
        // The thread is stuck with it; the queue fills behind.
        assert_eq!(written.recv().unwrap(), b"first\n");
        let line = [b'x'; 1000];
        let fit = LOG_QUEUE_BYTES_MAX / line.len();
        (0..fit + 7).for_each(|_| lines.put(&line));
        assert_eq!(lines.0.queue.lock().bytes.len(), fit * line.len());
        assert_eq!(lines.0.queue.lock().lost, 7);
        // An end does not wait for who does not read.
        lines.flush(Duration::from_millis(1));
        go.send(()).unwrap();
        let second = String::from_utf8(written.recv().unwrap()).unwrap();
        assert!(second.ends_with("7 were lost\n"));
        go.send(()).unwrap();
        lines.flush(Duration::from_secs(20));
        lines.put(b"last\n");
        assert_eq!(written.recv().unwrap(), b"last\n");
        go.send(()).unwrap();
    }

    #[test]
    fn a_broken_output_ends_nothing() {
        let lines = Lines::start(Slow(channel().0, channel().1), told).unwrap();
        for _ in 0..3 {
            lines.put(b"line\n");
            lines.flush(Duration::from_secs(20));
        }
    }
}
