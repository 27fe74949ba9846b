package handlers

import (
	"net/http"

	"github.com/gorilla/mux"
)

// The methods of most routes.
const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
)

// Routes serves the whole API.
func (a *API) Routes() http.Handler { return a.outermost(a.router()) }

// router is the whole route table, which docs/api.md lists. It keeps paths encoded and uncleaned, so
// that an ID with "/" or "%" is one segment.
//
// Each line of the table says:
//
//   - the path;
//   - who may call: msg and admin want an admin's token, inbox also takes the token of the inbox's
//     own user, public takes anybody;
//   - the handler and the query's parameters;
//   - the methods. The server leaves out the body of an answer to HEAD.
func (a *API) router() *mux.Router {
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	a.contractRoutes(r)
	a.campaignRoutes(r)
	a.scheduleRoutes(r)
	a.directoryRoutes(r)
	a.otherRoutes(r)
	a.pageRoutes(r)
	a.health(r)
	return r
}

// contractRoutes are OpenIM's own.
func (a *API) contractRoutes(r *mux.Router) {
	r.Handle("/auth/get_admin_token", a.auth(a.getAdminToken)).Methods(post)
	r.Handle("/auth/get_user_token", a.msg(with(tokenRequest, a.GetUserToken))).Methods(post)
	r.Handle("/msg/batch_send_msg", a.msg(a.batchSendMsg)).Methods(post)
}

func (a *API) campaignRoutes(r *mux.Router) {
	r.Handle("/v1/campaigns", a.admin(a.createCampaign)).Methods(post)
	r.Handle("/v1/campaigns", a.admin(with(campaignFilter, a.ListCampaigns), "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}", a.admin(with(campaignID, a.GetCampaign))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}", a.admin(with(readCampaignChange, a.PatchCampaign))).Methods(http.MethodPatch)
	r.Handle("/v1/campaigns/{id}/pause", a.admin(with(campaignID, a.PauseCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/resume", a.admin(with(campaignID, a.ResumeCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/cancel", a.admin(with(campaignID, a.CancelCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/retry", a.admin(with(readRetry, a.RetryCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/verify", a.admin(with(campaignID, a.VerifyCampaign))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/failures", a.admin(with(failurePage, a.CampaignFailures), "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients", a.admin(with(recipientPage, a.ListRecipients), "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.csv", a.admin(a.exportCSV, "status", "raw", "bom")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.ndjson", a.admin(a.exportNDJSON, "status")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients/{userID}", a.admin(with(recipientOf, a.GetRecipient))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/history", a.admin(with(olderPageOf(campaignID), a.CampaignHistory), "cursor", "limit")).Methods(get, head)
}

func (a *API) scheduleRoutes(r *mux.Router) {
	r.Handle("/v1/schedules", a.admin(a.createSchedule)).Methods(post)
	r.Handle("/v1/schedules", a.admin(with(scheduleFilter, a.ListSchedules), "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/preview", a.admin(with(bodyOf[PreviewBody](controlBody, refuseUnknown), a.PreviewSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}", a.admin(with(olderPageOf(scheduleID), a.GetSchedule), "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/{id}", a.admin(with(readScheduleChange, a.PatchSchedule))).Methods(http.MethodPatch)
	r.Handle("/v1/schedules/{id}", a.admin(with(scheduleID, a.DeleteSchedule))).Methods(http.MethodDelete)
	r.Handle("/v1/schedules/{id}/pause", a.admin(with(scheduleID, a.PauseSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}/resume", a.admin(with(scheduleID, a.ResumeSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}/run", a.admin(a.runSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}/next", a.admin(with(slotsOf, a.NextSlots), "n")).Methods(get, head)
	r.Handle("/v1/schedules/{id}/history", a.admin(with(olderPageOf(scheduleID), a.ScheduleHistory), "cursor", "limit")).Methods(get, head)
}

func (a *API) directoryRoutes(r *mux.Router) {
	r.Handle("/v1/users", a.admin(with(bodyOf[UsersBody](listBody, refuseUnknown), a.PutUsers))).Methods(post)
	r.Handle("/v1/users", a.admin(with(readUserPage, a.ListUsers), "search", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/users/import", a.admin(a.importUsers, "map", "ignoreOtherColumns", "raw")).Methods(post)
	r.Handle("/v1/users/{id}", a.admin(with(pathID, a.GetUser))).Methods(get, head)
	r.Handle("/v1/users/{id}", a.admin(with(pathID, a.DeleteUser))).Methods(http.MethodDelete)
	r.Handle("/v1/users/{id}/campaigns", a.admin(with(olderPageOf(pathID), a.UserCampaigns), "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/groups", a.admin(with(page, a.ListGroups), "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.admin(with(readGroup, a.PutGroup))).Methods(http.MethodPut)
	r.Handle("/v1/groups/{id}", a.admin(with(pathID, a.GetGroup))).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.admin(with(pathID, a.DeleteGroup))).Methods(http.MethodDelete)
	r.Handle("/v1/groups/{id}/members", a.admin(with(pageOf(pathID), a.ListMembers), "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/directory/sync", a.admin(a.syncDirectory, "fewer")).Methods(post)
	r.Handle("/v1/directory/sync", a.admin(with(none, a.DirectorySync))).Methods(get, head)
}

// otherRoutes are inboxes, the event log and channels.
func (a *API) otherRoutes(r *mux.Router) {
	r.Handle("/v1/inbox/{userID}/messages", a.inbox(with(readInboxPage, a.ListMessages), "after", "limit")).Methods(get, head)
	r.Handle("/v1/inbox/{userID}/stream", a.inbox(a.streamMessages, "after")).Methods(get, head)

	r.Handle("/v1/events", a.admin(with(eventFilter, a.ListEvents), "kind", "campaign", "schedule", "actor", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/channels/{name}/resume", a.admin(with(channelName, a.ResumeChannel))).Methods(post)
}

// pageRoutes are the pages for a browser: log-in and the queue's monitor.
func (a *API) pageRoutes(r *mux.Router) {
	r.Handle("/login", a.public(a.loginPage)).Methods(get, head)
	r.Handle("/login", a.public(a.login)).Methods(post)
	r.Handle("/logout", a.public(a.logout)).Methods(post)
	monitor := a.adminPage(a.monitorPage())
	r.Handle("/monitor", monitor)
	r.PathPrefix("/monitor/").Handler(monitor)
}

// Health is the two routes that every role serves, for a process that serves no others.
func (a *API) Health() http.Handler {
	r := mux.NewRouter()
	a.health(r)
	return a.outermost(r)
}

// health adds the two routes, and the answers to what no route takes.
func (a *API) health(r *mux.Router) {
	r.Handle("/healthz", a.public(a.healthz)).Methods(get, head)
	r.Handle("/readyz", a.public(a.readyz)).Methods(get, head)
	r.NotFoundHandler = a.public(noRoute)
	r.MethodNotAllowedHandler = a.public(wrongMethod(r))
}
