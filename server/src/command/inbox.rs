//! `godwit inbox check`

use godwit_core::ids::ConversationId;
use godwit_core::inbox::{Checked, Difference};
use godwit_core::store::Error;

use super::{block_on, load, out};
use crate::cli::{InboxAction, InboxCheck};
use crate::config::{Config, StoreKind};
use crate::failure::{Failure, Result};
use crate::store::{Opened, sqlite_file};

/// Conversations of one step: each step is one transaction, short enough for a server beside it.
const STEP: u32 = 100;

/// Runs the command. `false`: something differs, and was not mended.
pub(crate) fn run(action: &InboxAction) -> Result<bool> {
    let InboxAction::Check(asked) = action;
    let config = load(&asked.settings.sources())?.config;
    block_on(1, check(&config, asked))
}

async fn check(config: &Config, asked: &InboxCheck) -> Result<bool> {
    if config.store.kind == StoreKind::Sqlite && !sqlite_file(config).exists() {
        return Err(Failure::new(
            format!("there is no database {}", sqlite_file(config).display()),
            "Name the server's own data directory or configuration: --data DIR, --config FILE.",
        ));
    }
    let store = Opened::open(config).await?;
    let state = store.status().await?;
    if !state.is_current() {
        store.close().await;
        return Err(Failure::new(
            state.to_string(),
            "A check needs the schema that this godwit knows.",
        ));
    }
    let port = store.port();
    let step = async |after| port.check_inboxes(after, STEP, asked.repair).await;
    let done = walk(step, asked.repair, out).await;
    store.close().await;
    done
}

/// Goes from step to step and tells what differs. `false`: something does, and was not mended.
async fn walk(
    step: impl AsyncFn(Option<ConversationId>) -> std::result::Result<Checked, Error>,
    repair: bool,
    mut tell: impl FnMut(&str) -> Result<()>,
) -> Result<bool> {
    let (mut after, mut looked_at, mut differing): (Option<ConversationId>, u64, usize) =
        (None, 0, 0);
    loop {
        let found = step(after).await.map_err(|error| {
            Failure::new(
                format!("the check ended after {looked_at} conversations: {error}"),
                "What was mended so far stays. Check that the store runs, and start it again.",
            )
        })?;
        looked_at += found.conversations;
        differing += found.differences.len();
        for difference in &found.differences {
            tell(&line(difference))?;
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    tell(&summary(looked_at, differing, repair))?;
    Ok(differing == 0 || repair)
}

fn line(difference: &Difference) -> String {
    let Difference { conversation, user, field, stored, computed } = difference;
    let user = user.as_ref().map_or("-", |user| user.as_str());
    format!("{conversation} {user} {field}: stored {stored}, the log says {computed}\n")
}

fn summary(looked_at: u64, differing: usize, repair: bool) -> String {
    let what = match (differing, repair) {
        (0, _) => "nothing differs".to_owned(),
        (n, true) => format!("{n} differed and {} mended", if n == 1 { "was" } else { "were" }),
        (n, false) => {
            format!("{n} {}; --repair mends it", if n == 1 { "differs" } else { "differ" })
        }
    };
    format!("{looked_at} conversations looked at: {what}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::UserId;

    fn difference() -> Difference {
        Difference {
            conversation: ConversationId([0; 16]),
            user: Some(UserId::new("bob").unwrap()),
            field: "read_seq",
            stored: "9".to_owned(),
            computed: "7".to_owned(),
        }
    }

    /// Three steps; something differs in `wrong`, and a fourth one would fail.
    async fn walked(wrong: Option<u8>, repair: bool) -> (Result<bool>, String) {
        let step = async |after: Option<ConversationId>| {
            let number = after.map_or(0, |id| id.0[0] + 1);
            if number > 2 {
                return Err(Error::Unavailable("away".into()));
            }
            let found = wrong == Some(number);
            Ok(Checked {
                conversations: 10,
                differences: if found { vec![difference()] } else { Vec::new() },
                next: (number < 2 || wrong == Some(9)).then_some(ConversationId([number; 16])),
            })
        };
        let mut told = String::new();
        let done = walk(step, repair, |text| {
            told.push_str(text);
            Ok(())
        });
        let done = done.await;
        (done, told)
    }

    #[tokio::test]
    async fn all_steps_are_walked() {
        let (good, told) = walked(None, false).await;
        assert_eq!(
            (good, told.as_str()),
            (Ok(true), "30 conversations looked at: nothing differs\n")
        );
        let (good, told) = walked(Some(1), false).await;
        assert_eq!((good, told.lines().count()), (Ok(false), 2));
        let (good, told) = walked(Some(2), true).await;
        assert_eq!(good, Ok(true));
        assert!(told.contains("1 differed and was mended"), "{told}");
        let (good, _) = walked(Some(9), true).await;
        assert!(good.unwrap_err().to_string().contains("after 30 conversations"));
    }

    #[test]
    fn what_is_told() {
        let difference = difference();
        assert_eq!(
            line(&difference),
            "AAAAAAAAAAAAAAAAAAAAAA bob read_seq: stored 9, the log says 7\n"
        );
        let own = line(&Difference { user: None, ..difference });
        assert!(own.starts_with("AAAAAAAAAAAAAAAAAAAAAA - read_seq"), "{own}");
        assert_eq!(summary(3, 0, true), "3 conversations looked at: nothing differs\n");
        assert!(summary(3, 1, false).contains("1 differs; --repair mends it"));
        assert!(summary(3, 2, true).contains("2 differed and were mended"));
    }
}
