//! The suite that every store must pass: one function a behaviour, each on a fresh store.
//!
//! An adapter's tests call [`store_conformance!`](crate::store_conformance) once; every case
//! becomes a test of its own there. The macro names tokio at the caller's side only.
//!
//! Cases panic when a store misbehaves: this is test code that two crates share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod acts;
pub mod blocks;
pub mod commit;
pub mod cursors;
pub mod damage;
pub mod groups;
pub mod inbox;
pub mod interleaving;
pub mod log;
pub mod members;
pub mod model;
pub mod notices;
pub mod numbers;
pub mod offers;
pub mod pairs;
pub mod people;
pub mod receipts;
pub mod sessions;
pub mod support;
pub mod unread;
pub mod upkeep;
pub mod walks;

/// Makes a `#[tokio::test]` of every case.
///
/// `$fresh` is the path from the crate's root (`crate::fresh`) of an async function that makes an
/// empty, migrated store: it returns something that dereferences to the adapter's store, keeps what
/// the store needs alive, and is a [`damage::Harm`], which writes past the store.
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
            acts {
                what_is_about_a_message_is_an_entry_of_its_own
                a_deletion_empties_the_message_and_its_edits
                a_deletion_empties_what_the_same_batch_edited
                a_deleted_message_takes_nothing_more
                who_may_not_is_refused
                in_a_direct_conversation_both_pin_and_delete_their_own
                windows_end_at_the_policys_time
                only_a_message_that_is_there_and_seen_is_a_target
                ones_own_of_an_earlier_stay_may_be_deleted
                an_open_history_is_a_target_too
                edits_and_reactions_are_counted
                a_reaction_can_always_be_taken_back
                a_reaction_is_short
                what_is_about_a_message_goes_with_it
                concurrent_edits_and_a_deletion_leave_no_body
            }
            numbers {
                messages_are_numbered_and_nothing_else
                what_an_inbox_shows_is_activity
                mentions_come_back_as_sent
                unread_mentions_are_counted
                a_deleted_message_mentions_nobody
                an_edit_names_anew
                mentions_of_before_a_join_do_not_count
            }
            pairs {
                two_users_have_one_direct_conversation
                concurrent_creations_of_a_pair_have_one_id
                a_creation_is_the_first_entry
                a_key_stands_for_one_request
            }
            offers {
                invitations_are_bounded_and_forgotten
            }
            notices {
                notices_are_bounded_and_forgotten
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
                one_member_is_told_apart_from_strangers
                the_acquainted_share_a_conversation_now
            }
            groups {
                a_group_is_created_with_its_details
                roles_change_and_count_at_once
                an_ownership_is_transferred_but_never_lost
                the_later_title_wins_and_names_what_it_replaced
                concurrent_titles_are_merged_in_the_logs_order
                a_direct_conversation_has_an_expiry_only
                newcomers_see_what_the_setting_says
                tags_are_never_given_twice
                stays_are_told_by_place
                what_was_left_is_listed_for_a_while
                a_stamp_must_be_the_conversations
                keys_of_changes_are_scoped_by_their_actor
                a_send_and_a_change_may_have_the_same_key
                a_full_conversation_takes_no_more
            }
            log {
                pages_follow_each_other
                a_page_is_bounded_by_bytes_but_never_empty
                nothing_lies_beyond_the_head
                an_unknown_log_is_none
                a_range_is_read_from_either_end
                bytes_count_from_the_pages_begin
                pages_backwards_do_not_shift_when_the_log_grows
            }
            inbox {
                an_item_says_all_of_its_conversation
                an_inbox_is_ordered_by_pin_activity_and_id
                an_inbox_is_paged
                a_page_of_an_inbox_is_bounded
                archived_conversations_have_a_shelf
                a_preview_shows_what_became_of_it
                a_preview_is_the_users_to_see
                unread_is_what_others_said_since
                marks_are_the_users_own
                reading_takes_the_unread_mark_off
                pins_are_those_not_taken_off
                retries_do_not_touch_an_inbox
            }
            unread {
                what_cannot_be_read_is_not_unread
                unread_far_below_the_head_is_true
                mentions_are_counted_up_to_a_bound
                sending_reads_up_to_the_message
                a_badge_is_the_sum_of_an_inbox
                a_badge_looks_as_far_as_an_inbox
                unread_above_very_many_gone_is_true
                cursors_above_the_head_are_taken_back + harm
            }
            walks {
                what_moves_during_a_walk_is_met_at_its_end
                what_was_taken_in_before_a_walk_is_met
                a_pin_of_before_a_walk_is_met
                a_walk_of_before_a_restore_meets_all
            }
            receipts {
                a_report_moves_cursors_forward_only
                a_report_is_taken_whole_or_not_at_all
                a_lenient_report_leaves_out_what_is_wrong
                reports_of_a_batch_are_taken_in_order
                cursors_end_with_the_stay
                a_receipt_is_no_entry
                concurrent_reports_end_at_the_highest
            }
            blocks {
                blocks_are_listed_and_taken_back
                a_block_counts_in_direct_conversations
                a_blocked_member_is_refused_at_once
                a_new_direct_conversation_knows_the_blocks
                nobody_blocks_himself
                concurrent_sends_and_a_block_are_in_one_order
                blocks_are_bounded + harm
            }
            people {
                an_unknown_user_is_all_default
                a_users_row_is_made_and_changed
                a_users_version_guards_its_row
                concurrent_changes_of_a_user_have_one_winner
                last_seen_never_goes_back
                devices_are_noted_and_named
                a_revoked_device_is_forgotten_but_listed
                revocations_are_numbered
                concurrent_revocations_are_read_without_a_gap
                what_is_refused_of_a_user_is_a_fact
                a_deleted_user_leaves_its_id
                devices_that_nobody_saw_are_bounded_and_forgotten
                a_key_belongs_to_one_request
                old_keys_are_forgotten
            }
            damage {
                a_sound_store_has_nothing_to_mend
                planted_damage_is_found_and_not_touched + harm
                planted_damage_is_mended + harm
                sends_go_on_after_a_repair + harm
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
    (@modules $fresh:path; $($module:ident { $($case:ident $(+ $with:ident)?)* })*) => {
        $(
            mod $module {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let fresh = $fresh().await;
                        $crate::conformance::$module::$case(
                            &*fresh $(, $crate::store_conformance!(@$with fresh))?
                        )
                        .await;
                    }
                )*
            }
        )*
    };
    (@harm $fresh:ident) => {
        &$fresh
    };
}
