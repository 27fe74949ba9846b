package models

import "slices"

// InboxChannels names the channels that store in the inbox: a sent recipient of theirs is a message that the user reads here.
// The rules:
//   - It is called before anything else uses the store.
//   - Each process calls it that makes, starts or shows campaigns. Where no channel is named, nothing is stored for an inbox.
//
// The store is told, and neither a campaign nor a template says so by itself:
//   - A scheduled campaign is frozen again when it starts. Its column inbox is 0 until then.
//   - An occurrence is made from its schedule's template, long after the POST.
//   - The rows and templates that older programs have written hold the channel's name alone.
func (s *Store) InboxChannels(names ...string) { s.inbox = names }

// StoresInInbox says whether a channel is one of InboxChannels.
func (s *Store) StoresInInbox(channel string) bool { return slices.Contains(s.inbox, channel) }
