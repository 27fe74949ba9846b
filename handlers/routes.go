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
	r.Handle("/auth/get_user_token", a.msg(a.getUserToken)).Methods(post)
	r.Handle("/msg/batch_send_msg", a.msg(a.batchSendMsg)).Methods(post)
}

func (a *API) campaignRoutes(r *mux.Router) {
	r.Handle("/v1/campaigns", a.admin(a.createCampaign)).Methods(post)
	r.Handle("/v1/campaigns", a.admin(a.listCampaigns, "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}", a.admin(a.getCampaign)).Methods(get, head)
	r.Handle("/v1/campaigns/{id}", a.admin(a.patchCampaign)).Methods(http.MethodPatch)
	r.Handle("/v1/campaigns/{id}/pause", a.admin(a.pauseCampaign)).Methods(post)
	r.Handle("/v1/campaigns/{id}/resume", a.admin(a.resumeCampaign)).Methods(post)
	r.Handle("/v1/campaigns/{id}/cancel", a.admin(a.cancelCampaign)).Methods(post)
	r.Handle("/v1/campaigns/{id}/retry", a.admin(a.retryCampaign)).Methods(post)
	r.Handle("/v1/campaigns/{id}/verify", a.admin(a.verifyCampaign)).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/failures", a.admin(a.campaignFailures, "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients", a.admin(a.listRecipients, "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.csv", a.admin(a.exportCSV, "status", "raw", "bom")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.ndjson", a.admin(a.exportNDJSON, "status")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients/{userID}", a.admin(a.getRecipient)).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/history", a.admin(a.campaignHistory, "cursor", "limit")).Methods(get, head)
}

func (a *API) scheduleRoutes(r *mux.Router) {
	r.Handle("/v1/schedules", a.admin(a.createSchedule)).Methods(post)
	r.Handle("/v1/schedules", a.admin(a.listSchedules, "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/preview", a.admin(a.previewSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}", a.admin(a.getSchedule, "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/{id}", a.admin(a.patchSchedule)).Methods(http.MethodPatch)
	r.Handle("/v1/schedules/{id}", a.admin(a.deleteSchedule)).Methods(http.MethodDelete)
	r.Handle("/v1/schedules/{id}/pause", a.admin(a.pauseSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}/resume", a.admin(a.resumeSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}/run", a.admin(a.runSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}/next", a.admin(a.nextSlots, "n")).Methods(get, head)
	r.Handle("/v1/schedules/{id}/history", a.admin(a.scheduleEvents, "cursor", "limit")).Methods(get, head)
}

func (a *API) directoryRoutes(r *mux.Router) {
	r.Handle("/v1/users", a.admin(a.putUsers)).Methods(post)
	r.Handle("/v1/users", a.admin(a.listUsers, "search", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/users/import", a.admin(a.importUsers, "map", "ignoreOtherColumns", "raw")).Methods(post)
	r.Handle("/v1/users/{id}", a.admin(a.getUser)).Methods(get, head)
	r.Handle("/v1/users/{id}", a.admin(a.deleteUser)).Methods(http.MethodDelete)
	r.Handle("/v1/users/{id}/campaigns", a.admin(a.userCampaigns, "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/groups", a.admin(a.listGroups, "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.admin(a.putGroup)).Methods(http.MethodPut)
	r.Handle("/v1/groups/{id}", a.admin(a.getGroup)).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.admin(a.deleteGroup)).Methods(http.MethodDelete)
	r.Handle("/v1/groups/{id}/members", a.admin(a.listMembers, "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/directory/sync", a.admin(a.syncDirectory, "fewer")).Methods(post)
	r.Handle("/v1/directory/sync", a.admin(a.directorySync)).Methods(get, head)
}

// otherRoutes are inboxes, the event log and channels.
func (a *API) otherRoutes(r *mux.Router) {
	r.Handle("/v1/inbox/{userID}/messages", a.inbox(a.listMessages, "after", "limit")).Methods(get, head)
	r.Handle("/v1/inbox/{userID}/stream", a.inbox(a.streamMessages, "after")).Methods(get, head)

	r.Handle("/v1/events", a.admin(a.listEvents, "kind", "campaign", "schedule", "actor", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/channels/{name}/resume", a.admin(a.resumeChannel)).Methods(post)
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
