package handlers

import (
	"context"

	"carillon/handlers/web"
	"carillon/internal/slots"
	"carillon/models"
)

// SkipBody is the body of POST /v1/schedules/{id}/skip.
type SkipBody struct {
	Slot string `json:"slot"` // RFC 3339; with localTime a date and clock
}

// Skip is which slot of which schedule is left out.
type Skip struct {
	ID   string
	Slot string
}

func readSkip(in *web.In) (s Skip, err error) {
	body, err := bodyOf[SkipBody](web.ControlBody, web.RefuseUnknown)(in)
	if err != nil {
		return s, err
	}
	s.Slot = body.Slot
	s.ID, err = in.Known("schedule")
	return s, err
}

// SkipSlot leaves one coming slot of a schedule out.
func (a *API) SkipSlot(ctx context.Context, _ web.Call, asked Skip) (ScheduleView, error) {
	return changedJSON(a.Store.SkipSlot(ctx, asked.ID, func(sch *models.Schedule, now models.Millis) error {
		var c checker
		slot := c.slot(sch, asked.Slot)
		if err := c.err(); err != nil {
			return err
		}
		return slots.Skip(sch, slot, now)
	}))
}

// slot reads a slot of a schedule: an instant, or with localTime a date and clock.
func (c *checker) slot(sch *models.Schedule, text string) models.Millis {
	if text == "" {
		c.add("slot", "is required")
		return 0
	}
	if !sch.LocalTime {
		at, _ := c.instant("slot", text)
		return at
	}
	wall, reason := models.ParseWall(text)
	if reason != "" {
		c.add("slot", "%s", reason)
	}
	return wall
}
