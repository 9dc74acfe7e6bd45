//! `typing`: how many bytes it costs to be told that somebody types.

use std::time::{Duration, Instant};

use miette::{IntoDiagnostic as _, bail};

use crate::args;
use crate::engine::{Engine, News};
use crate::report::{Report, Typing};
use crate::stamp::Clock;
use crate::target::Target;
use crate::wire::Event;

/// How long one step may take; a packet a second is what the server tells.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);
/// `Typing.state`, field 1, varint (proto/godwit/presence/v1/presence.proto): START and STOP.
const STATES: [[u8; 2]; 2] = [[0x08, 1], [0x08, 3]];

/// One that types and one that sees it, in the engine.
const TYPES: usize = 0;
const SEES: usize = 1;

/// `typing`.
pub(crate) fn typing(args: args::Typing) -> miette::Result<Report> {
    let args::Typing { peer, output: _, events } = args;
    let mut target = Target::new(peer)?;
    target.must_be_godwit("typing")?;
    target.prepare(1, 1)?;
    let mut engine = Engine::new(target.route()?, Clock::start()).into_diagnostic()?;
    let (types, sees) = target.typists(0);
    for (index, wire) in [(TYPES, types), (SEES, sees)] {
        engine.add(wire);
        engine.open(index);
        until(&mut engine, index, &Event::Ready)?;
    }
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for state in STATES.iter().cycle().take(usize::try_from(events).into_diagnostic()?) {
        let before = (engine.traffic(SEES).bytes_in, engine.traffic(TYPES).bytes_out);
        if !engine.pass(TYPES, state) {
            bail!("the typing device is not connected any more");
        }
        engine.flush();
        until(&mut engine, SEES, &Event::Passed)?;
        down.push(engine.traffic(SEES).bytes_in - before.0);
        up.push(engine.traffic(TYPES).bytes_out - before.1);
    }
    for index in [TYPES, SEES] {
        engine.close(index);
    }
    let (peer, protocol) = target.describe();
    let most = |sizes: &[u64]| sizes.iter().skip(1).max().copied().unwrap_or(0);
    Ok(Report {
        command: "typing",
        peer,
        protocol,
        setup: "START and STOP in turn, one who sees them".to_owned(),
        typing: Some(Typing {
            first_down: down.first().copied().unwrap_or(0),
            most_down: most(&down),
            first_up: up.first().copied().unwrap_or(0),
            most_up: most(&up),
            events: down.len(),
        }),
        sound: true,
        ..Report::default()
    })
}

/// Goes on until the connection reports `wanted`. Errors: a connection ends, or it takes too long.
fn until(engine: &mut Engine, connection: usize, wanted: &Event) -> miette::Result<()> {
    let start = Instant::now();
    let (mut found, mut lost) = (false, None);
    while !found {
        if start.elapsed() > STEP_TIME_MAX {
            bail!("{wanted:?} has not come within {STEP_TIME_MAX:?}");
        }
        engine
            .poll(Duration::from_millis(50), |index, news, _| match news {
                News::Event(event) => found |= index == connection && event == *wanted,
                News::Gone(reason) => lost = Some(reason),
            })
            .into_diagnostic()?;
        if let Some(reason) = lost {
            bail!("a connection ended: {reason}");
        }
    }
    Ok(())
}
