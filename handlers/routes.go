package handlers

import (
	"net/http"

	"carillon/handlers/web"

	"github.com/gorilla/mux"

	"carillon/handlers/apidocs"
)

// The methods of most routes.
const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
)

// Routes serves the whole API, and what pages add to its route table.
func (a *API) Routes(pages ...func(*mux.Router)) http.Handler {
	r := a.router()
	for _, add := range pages {
		add(r)
	}
	return a.Outermost(r)
}

// router is the whole route table, which docs/openapi.yaml has. It keeps paths encoded and uncleaned, so
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
	r.Handle("/auth/get_admin_token", a.Auth(a.getAdminToken)).Methods(post)
	r.Handle("/auth/get_user_token", a.Msg(with(tokenRequest, a.GetUserToken))).Methods(post)
	r.Handle("/msg/batch_send_msg", a.Msg(a.batchSendMsg)).Methods(post)
}

func (a *API) campaignRoutes(r *mux.Router) {
	r.Handle("/v1/campaigns", a.Admin(a.createCampaign)).Methods(post)
	r.Handle("/v1/campaigns", a.Admin(with(ReadCampaignFilter, a.ListCampaigns), "status", "name", "schedule", "createdFrom", "createdTo", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/estimate", a.Admin(with(bodyOf[CampaignBody](web.ListBody, campaignUnknown), a.EstimateCampaign))).Methods(post)
	r.Handle("/v1/campaigns/test", a.Admin(a.testCampaign)).Methods(post)
	r.Handle("/v1/campaigns/pause", a.Admin(with(none, a.PauseAllCampaigns))).Methods(post)
	r.Handle("/v1/campaigns/resume", a.Admin(with(none, a.ResumeAllCampaigns))).Methods(post)
	r.Handle("/v1/campaigns/{id}", a.Admin(with(campaignID, a.GetCampaign))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}", a.Admin(with(readCampaignChange, a.PatchCampaign))).Methods(http.MethodPatch)
	r.Handle("/v1/campaigns/{id}/pause", a.Admin(with(campaignID, a.PauseCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/resume", a.Admin(with(campaignID, a.ResumeCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/cancel", a.Admin(with(campaignID, a.CancelCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/retry", a.Admin(with(readRetry, a.RetryCampaign))).Methods(post)
	r.Handle("/v1/campaigns/{id}/verify", a.Admin(with(campaignID, a.VerifyCampaign))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/zones", a.Admin(with(campaignID, a.CampaignZones))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/failures", a.Admin(with(failurePage, a.CampaignFailures), "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients", a.Admin(with(ReadRecipientPage, a.ListRecipients), "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.csv", a.Admin(a.exportCSV, "status", "raw", "bom")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients.ndjson", a.Admin(a.exportNDJSON, "status")).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/recipients/{userID}", a.Admin(with(recipientOf, a.GetRecipient))).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/events", a.Admin(a.watchCampaign)).Methods(get, head)
	r.Handle("/v1/campaigns/{id}/history", a.Admin(with(olderPageOf(campaignID), a.CampaignHistory), "cursor", "limit")).Methods(get, head)
}

func (a *API) scheduleRoutes(r *mux.Router) {
	r.Handle("/v1/schedules", a.Admin(a.createSchedule)).Methods(post)
	r.Handle("/v1/schedules", a.Admin(with(ReadScheduleFilter, a.ListSchedules), "status", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/pause", a.Admin(with(none, a.PauseAllSchedules))).Methods(post)
	r.Handle("/v1/schedules/resume", a.Admin(with(none, a.ResumeAllSchedules))).Methods(post)
	r.Handle("/v1/schedules/preview", a.Admin(with(bodyOf[PreviewBody](web.ControlBody, web.RefuseUnknown), a.PreviewSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}", a.Admin(with(olderPageOf(scheduleID), a.GetSchedule), "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/schedules/{id}", a.Admin(with(readScheduleChange, a.PatchSchedule))).Methods(http.MethodPatch)
	r.Handle("/v1/schedules/{id}", a.Admin(with(scheduleID, a.DeleteSchedule))).Methods(http.MethodDelete)
	r.Handle("/v1/schedules/{id}/pause", a.Admin(with(scheduleID, a.PauseSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}/resume", a.Admin(with(scheduleID, a.ResumeSchedule))).Methods(post)
	r.Handle("/v1/schedules/{id}/skip", a.Admin(with(readSkip, a.SkipSlot))).Methods(post)
	r.Handle("/v1/schedules/{id}/run", a.Admin(a.runSchedule)).Methods(post)
	r.Handle("/v1/schedules/{id}/next", a.Admin(with(slotsOf, a.NextSlots), "n")).Methods(get, head)
	r.Handle("/v1/schedules/{id}/history", a.Admin(with(olderPageOf(scheduleID), a.ScheduleHistory), "cursor", "limit")).Methods(get, head)
}

func (a *API) directoryRoutes(r *mux.Router) {
	r.Handle("/v1/users", a.Admin(with(bodyOf[UsersBody](web.ListBody, web.RefuseUnknown), a.PutUsers))).Methods(post)
	r.Handle("/v1/users", a.Admin(with(ReadUserPage, a.ListUsers), "search", "nickname", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/users/import", a.Admin(a.importUsers, "map", "ignoreOtherColumns", "raw")).Methods(post)
	r.Handle("/v1/users/{id}", a.Admin(with(pathID, a.GetUser))).Methods(get, head)
	r.Handle("/v1/users/{id}", a.Admin(with(pathID, a.DeleteUser))).Methods(http.MethodDelete)
	r.Handle("/v1/users/{id}/campaigns", a.Admin(with(olderPageOf(pathID), a.UserCampaigns), "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/groups", a.Admin(with(page, a.ListGroups), "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.Admin(with(readGroup, a.PutGroup))).Methods(http.MethodPut)
	r.Handle("/v1/groups/{id}", a.Admin(with(pathID, a.GetGroup))).Methods(get, head)
	r.Handle("/v1/groups/{id}", a.Admin(with(pathID, a.DeleteGroup))).Methods(http.MethodDelete)
	r.Handle("/v1/groups/{id}/members", a.Admin(with(pageOf(pathID), a.ListMembers), "cursor", "limit")).Methods(get, head)

	r.Handle("/v1/directory", a.Admin(with(none, a.Directory))).Methods(get, head)
	r.Handle("/v1/directory/sync", a.Admin(a.syncDirectory, "fewer")).Methods(post)
	r.Handle("/v1/directory/sync", a.Admin(with(none, a.DirectorySync))).Methods(get, head)
}

// otherRoutes are inboxes, the event log and channels.
func (a *API) otherRoutes(r *mux.Router) {
	r.Handle("/v1/inbox/{userID}/messages", a.OwnInbox(with(readInboxPage, a.ListMessages), "after", "limit")).Methods(get, head)
	r.Handle("/v1/inbox/{userID}/stream", a.OwnInbox(a.streamMessages, "after")).Methods(get, head)

	r.Handle("/v1/events", a.Admin(with(ReadEventQuery, a.ListEvents), "after", "kind", "campaign", "schedule", "actor", "cursor", "limit")).Methods(get, head)
	r.Handle("/v1/channels", a.Admin(with(none, a.ListChannels))).Methods(get, head)
	r.Handle("/v1/channels/{name}/resume", a.Admin(with(channelName, a.ResumeChannel))).Methods(post)
}

// pageRoutes are the pages for a browser: log-in, the contract and the queue's monitor.
func (a *API) pageRoutes(r *mux.Router) {
	r.Handle("/login", a.Public(a.LoginPage)).Methods(get, head)
	r.Handle("/login", a.Public(a.Login)).Methods(post)
	r.Handle("/logout", a.Public(a.Logout)).Methods(post)
	r.Handle("/openapi.yaml", a.Public(apidocs.Contract(a.BasePath))).Methods(get, head)
	r.Handle("/docs", a.Public(apidocs.Page())).Methods(get, head)
	r.Handle("/docs/rapidoc.js", a.Public(apidocs.Viewer())).Methods(get, head)
	monitor := a.monitorPage()
	r.Handle("/monitor", monitor)
	r.PathPrefix("/monitor/").Handler(monitor)
}

// Health is the routes that every role serves, for a process that serves no others.
func (a *API) Health() http.Handler {
	r := mux.NewRouter()
	a.health(r)
	return a.Outermost(r)
}

// health adds those routes, and the answers to what no route takes.
func (a *API) health(r *mux.Router) {
	r.Handle("/healthz", a.Public(a.healthz)).Methods(get, head)
	r.Handle("/readyz", a.Public(a.readyz)).Methods(get, head)
	r.Handle("/metrics", a.scrapers()(a.metrics)).Methods(get, head)
	r.NotFoundHandler = a.Public(web.NoRoute)
	r.MethodNotAllowedHandler = a.Public(web.WrongMethod(r))
}
