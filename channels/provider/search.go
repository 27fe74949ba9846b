package provider

import "time"

// How many requests are in flight at once.
//
// By Little's law the right number is the provider's rate times the time a request takes. Only the provider knows
// either. So one limit, for all Sends of the process, is found by trying:
//
//   - A trial doubles or halves the limit. Twice as many requests are kept only if they bring a fifth more good
//     answers a second. Half as many are kept if they bring no more than a fifth less.
//   - Where more requests bring no more answers, the provider or this machine is busy, and more would only wait.
//   - Only good answers count. A provider that refuses under load brings the limit down, however fast it refuses.
//   - A trial lasts until its own requests have come back. Each trial that changes nothing makes trials rarer.
//
// Several processes may share the provider or this machine. To each of them, more in flight looks worth it, because
// it takes answers from the others. Together they would only wait, until requests time out. So the rate is not all
// that counts: when requests take several times as long as in quieter times, they wait in a line, and the limit halves.
//
// Both rules need answers. One rule works without: when nothing at all came back for long enough and a Send waits
// for a place, the limit doubles.
//
// The phases, of which phase tells the present one:
//
//	settling  ── all requests of the old limit are back ──► measuring, tryingUp or tryingDown
//	measuring ── untilTrial measurements later ───────────► tryingUp or tryingDown, through settling
//	tryingUp, tryingDown
//	          ── worth it ────────────────────────────────► the same way again, or measuring
//	          ── not worth it ── the old limit is back ───► measuring, through settling
//	any       ── crowded, or too few places used ─────────► measuring at half the limit, through settling
//	any       ── silence ─────────────────────────────────► measuring at twice the limit, through settling
const (
	minInFlight = 6   // enough for a provider nearby that answers within half a millisecond
	maxInFlight = 768 // 10,000/s at a provider that takes 50 ms need 500, and a little more for requests that do not wait

	minGain          = 1.2
	minMeasureTime   = 100 * time.Millisecond // the shortest time that gives a rate
	minTrialInterval = 4                      // measurements between two trials; doubled by each trial that changed nothing
	maxTrialInterval = 64

	// Where requests are quicker than quickRequest, most of their time is this machine's own, and its hiccups look
	// like the provider's doing. A rate to compare with then takes several measurements.
	quickRequest = 10 * time.Millisecond

	// Requests are crowded when their mean time is above crowdedTime and above crowdedTimes the shortest mean ever
	// measured: they mostly wait for others. A provider may become slower for good. So a time that stays long with
	// the fewest requests in flight counts as the provider's own.
	crowdedTimes = 3
	crowdedTime  = 20 * time.Millisecond

	// Until the first answer, 6 in flight are too few after 6 ms, 12 after 12 ms more, and so on.
	quietPerPlace = time.Millisecond
)

// phase is what the limiter finds out at present.
type phase int

const (
	settling   phase = iota // answers of requests that began under another limit are still to come
	measuring               // no trial: the rate under the limit is measured
	tryingUp                // twice trialFrom is tried
	tryingDown              // half of trialFrom is tried
)

func (l *limiter) phase() phase {
	switch {
	case l.toSkip > 0:
		return settling
	case l.trialFrom == 0:
		return measuring
	case l.trialUp:
		return tryingUp
	}
	return tryingDown
}

// startMeasurement begins a measurement. It counts the answers that come after the next toSkip ones.
func (l *limiter) startMeasurement(now time.Time, toSkip int) {
	l.toSkip, l.answers, l.good, l.goodTime, l.busy, l.busySince, l.peak = toSkip, 0, 0, 0, 0, now, l.inFlight
}

// changeLimit makes to the limit, within its bounds: at once when it is lower, else answer by answer.
func (l *limiter) changeLimit(now time.Time, to int) {
	l.target = min(max(to, minInFlight), maxInFlight)
	l.limit = min(l.limit, l.target)
	l.startMeasurement(now, l.inFlight-1) // the request that is just coming back is counted already
}

// isCrowded reports whether the requests of this measurement mostly waited for others.
func (l *limiter) isCrowded() bool {
	if l.good == 0 {
		return false
	}
	took := l.goodTime / time.Duration(l.good)
	if l.shortestTime == 0 || took < l.shortestTime {
		l.shortestTime = took
	}
	if took <= max(l.shortestTime*crowdedTimes, crowdedTime) {
		return false
	}
	if l.limit <= minInFlight {
		l.shortestTime = took / 2 // other processes may be the cause, so the time is not believed whole
	}
	return true
}

// judge ends a measurement, in which rate good answers a second came back, and decides what comes next.
func (l *limiter) judge(now time.Time, rate float64) {
	crowded, phase := l.isCrowded(), l.phase()
	switch {
	case phase == measuring && l.peak <= l.limit/2 && l.limit > minInFlight: // nobody needs so many
		l.recentRate, l.bestRate, l.untilTrial = 0, -1, 1
		l.changeLimit(now, l.limit/2)
	case crowded && l.limit > minInFlight:
		l.untilTrial = 1
		if phase == tryingUp {
			l.trialInterval = min(l.trialInterval*2, maxTrialInterval)
			l.untilTrial = l.trialInterval
		}
		l.trialFrom, l.recentRate, l.bestRate, l.trialUp = 0, 0, -1, false
		l.changeLimit(now, l.limit/2)
	case phase == measuring:
		l.takeRate(now, rate)
	case phase == tryingUp && rate > l.bestRate*minGain, phase == tryingDown && rate*minGain >= l.recentRate:
		// More in flight must beat the best rate. Fewer must only come near the recent one.
		l.keepTrial(now, rate)
	default:
		before := l.trialFrom
		l.trialInterval = min(l.trialInterval*2, maxTrialInterval)
		l.trialFrom, l.trialUp, l.untilTrial = 0, !l.trialUp, l.trialInterval
		l.changeLimit(now, before)
	}
}

// takeRate adds a measurement without a trial to the rates that the next trial must beat, and begins that trial when
// it is time.
func (l *limiter) takeRate(now time.Time, rate float64) {
	if rate < l.recentRate/2 { // the provider has changed
		l.trialInterval, l.untilTrial, l.bestRate = minTrialInterval, 1, -1
	}
	if l.bestRate < 0 { // the first measurement under this limit
		l.recentRate, l.bestRate = rate, rate
		if l.usualTime < quickRequest {
			l.untilTrial = max(l.untilTrial, minTrialInterval)
		}
	}
	l.recentRate += (rate - l.recentRate) / 2
	l.bestRate = max(rate, l.bestRate-(l.bestRate-rate)/8)
	l.untilTrial--
	if l.untilTrial > 0 || !l.startTrial(now) {
		l.startMeasurement(now, 0)
	}
}

// keepTrial keeps the limit that was tried, and tries on in the same direction where it can.
func (l *limiter) keepTrial(now time.Time, rate float64) {
	wasUp := l.trialUp
	l.recentRate, l.bestRate, l.trialInterval, l.trialFrom = rate, rate, minTrialInterval, 0
	l.chooseDirection()
	turned := l.trialUp != wasUp // a trial the other way, at once, would only undo this one
	if turned || l.usualTime < quickRequest || !l.startTrial(now) {
		l.untilTrial = minTrialInterval
		l.startMeasurement(now, 0)
	}
}

// chooseDirection turns the next trial round if the limit can go no further in its direction. It returns false when
// the limit can go in neither.
func (l *limiter) chooseDirection() bool {
	// To raise the limit is of use only while a Send waits for it and not everything fails.
	canRise := l.limit < maxInFlight && l.peak >= l.limit && l.recentRate > 0
	canFall := l.limit > minInFlight
	if l.trialUp && !canRise || !l.trialUp && !canFall {
		l.trialUp = !l.trialUp
	}
	return l.trialUp && canRise || !l.trialUp && canFall
}

// startTrial begins a trial. It returns false when there is nothing to try.
func (l *limiter) startTrial(now time.Time) bool {
	if !l.chooseDirection() {
		l.untilTrial = l.trialInterval
		return false
	}
	l.trialFrom = l.limit
	if l.trialUp {
		l.changeLimit(now, l.limit*2)
	} else {
		l.changeLimit(now, l.limit/2)
	}
	return true
}

// quietLimit is how long nothing may come back. Once the usual time of a request is known, silence says little before
// twice that time, because a provider that answers in rounds is silent between them. A busy machine is silent for a
// while, too.
func (l *limiter) quietLimit() time.Duration {
	wait := time.Duration(l.limit) * quietPerPlace
	if l.usualTime > 0 {
		wait = max(wait, 2*l.usualTime, minMeasureTime)
	}
	return wait
}

// checkQuiet is what quietTimer calls: it doubles the limit when nothing came back for quietLimit.
func (l *limiter) checkQuiet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) == 0 {
		l.quietTimer = nil
		return
	}
	now := time.Now()
	l.admitForLate(now)
	switch {
	case now.Sub(l.timerDue) > l.quietLimit()/2: // the timer is late: this process stood still, not the provider
		l.quietSince = now
	case now.Sub(l.quietSince) >= l.quietLimit() && l.limit < maxInFlight:
		l.quietSince = now
		l.limit = min(l.limit*2, maxInFlight)
		l.target = l.limit
		l.startMeasurement(now, l.inFlight)
		l.trialFrom, l.recentRate, l.bestRate, l.trialUp, l.trialInterval, l.untilTrial = 0, 0, -1, true, minTrialInterval, 1
		l.admitWaiting()
	}
	wait := max(l.quietLimit()-now.Sub(l.quietSince), quietPerPlace)
	l.timerDue = now.Add(wait)
	l.quietTimer.Reset(wait)
}
