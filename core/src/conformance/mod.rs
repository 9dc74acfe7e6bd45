//! The suite that every store must pass: one function a behaviour, each on a fresh store.
//!
//! An adapter's tests call [`store_conformance!`](crate::store_conformance) once; every case
//! becomes a test of its own there. The macro names tokio at the caller's side only.
//!
//! Cases panic when a store misbehaves: this is test code that two crates share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod commit;
pub mod cursors;
pub mod log;
pub mod members;
pub mod sessions;
pub mod support;
pub mod upkeep;

/// Makes a `#[tokio::test]` of every case.
///
/// `$fresh` is the path from the crate's root (`crate::fresh`) of an async function that makes an
/// empty, migrated store: it returns something that dereferences to the adapter's store and keeps
/// what the store needs alive.
#[macro_export]
macro_rules! store_conformance {
    ($fresh:path) => {
        $crate::store_conformance! { @modules $fresh;
            commit {
                new_sends_get_the_next_places_and_a_chain
                a_retry_is_told_the_first_result
                a_key_twice_in_a_batch_is_a_duplicate
                keys_are_scoped_by_sender_device_and_conversation
                a_stranger_is_forbidden
                an_unknown_conversation_is_forbidden
                a_former_member_is_forbidden_but_told_of_earlier_success
                a_stale_group_version_is_refused_and_named
                a_previous_chain_must_be_the_heads
                a_reply_answers_what_is_there
                a_refused_send_leaves_nothing
                one_batch_serves_many_conversations
                bodies_and_all_fields_come_back_unchanged
                a_full_batch_is_committed
                an_empty_batch_is_nothing
                concurrent_batches_leave_one_gapless_chain
                concurrent_retries_have_one_winner
            }
            members {
                a_new_conversation_is_empty
                creating_again_changes_nothing
                an_unknown_conversation_is_none
                adding_appends_an_entry_and_raises_the_version
                removing_appends_an_entry_and_forgets_cursors
                who_comes_back_starts_anew
                a_change_is_refused_by_the_cores_rules
                a_repeated_change_is_told_its_first_result
                changes_and_sends_share_one_log
                concurrent_changes_are_decided_one_after_another
                conversations_of_a_user_are_paged_by_id
            }
            log {
                pages_follow_each_other
                a_page_is_bounded_by_bytes_but_never_empty
                nothing_lies_beyond_the_head
                an_unknown_log_is_none
            }
            sessions {
                a_session_without_expiry_leaves_nothing
                a_kept_session_comes_back_with_its_subscriptions
                a_clean_start_forgets
                an_expired_session_is_forgotten
                an_open_session_does_not_expire
                opening_again_keeps_and_takes_the_new_expiry
                closing_with_expiry_zero_forgets
                a_forgotten_session_loses_its_cursors
                a_device_twice_in_a_batch_is_answered_in_order
                sessions_of_a_batch_do_not_touch_each_other
                subscriptions_are_put_replaced_and_removed
                without_a_session_nothing_is_stored
            }
            cursors {
                without_a_cursor_reading_starts_where_the_user_joined
                a_start_begins_at_the_head
                a_start_never_moves_a_cursor
                a_start_of_one_touches_no_other
                a_stop_forgets
                cursors_move_forward_only
                the_highest_of_a_batch_counts
                feeds_and_devices_are_apart
                behind_is_paged_by_conversation
                only_members_are_behind
                moves_of_strangers_and_of_unkept_sessions_are_ignored
                concurrent_moves_end_at_the_highest
            }
            upkeep {
                the_outbox_holds_every_entry_in_order
                done_events_are_gone_and_unknown_ids_ignored
                an_outbox_page_is_bounded_and_repeated_until_done
                old_bodies_become_tombstones
                expired_bodies_become_tombstones
                pruning_is_bounded_and_goes_on
                expired_sessions_are_pruned
                a_store_answers
            }
        }
    };
    (@modules $fresh:path; $($module:ident { $($case:ident)* })*) => {
        $(
            mod $module {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let fresh = $fresh().await;
                        $crate::conformance::$module::$case(&*fresh).await;
                    }
                )*
            }
        )*
    };
}
