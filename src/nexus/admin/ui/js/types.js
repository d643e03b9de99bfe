/**
 * What the administration answers, as `docs/administration.md` describes it. Types only: nothing is run.
 *
 * Times named `*_at` are Unix seconds, durations are seconds, unknown is `null`.
 *
 * @typedef {{authenticated: boolean, needs_token: boolean, version: string}} Session
 *
 * @typedef {object} BackendRow
 * @property {string} id
 * @property {string} name
 * @property {string} type
 * @property {string} source
 * @property {string} found_by
 * @property {string} url
 * @property {string} status
 * @property {string} reason
 * @property {number} since_at
 * @property {number} priority
 * @property {number} slots
 * @property {number} in_flight
 * @property {boolean} draining
 * @property {boolean} leaving
 * @property {string} version
 * @property {boolean} cloud
 * @property {boolean} keyed
 * @property {number} models
 * @property {number} requests_per_second
 * @property {number} tokens_per_second
 * @property {number|null} first_byte_p50
 * @property {number|null} first_byte_p95
 * @property {number} attempts
 * @property {number} errors
 * @property {number} busy_seconds
 * @property {Record<string, number>} failures
 *
 * @typedef {object} Running
 * @property {string} id
 * @property {string} surface
 * @property {string} model
 * @property {string} backend
 * @property {number} started_at
 * @property {number} elapsed_seconds
 * @property {boolean} streamed
 * @property {number} tokens
 * @property {number} attempts
 * @property {"deciding"|"waiting"|"answering"} state
 * @property {string} client
 *
 * @typedef {object} FleetState
 * @property {number} now_at
 * @property {string} version
 * @property {number} uptime_seconds
 * @property {boolean} draining
 * @property {string} base_url
 * @property {string[]} looked
 * @property {{requests_per_second: number, tokens_per_second: number, in_flight: number}} totals
 * @property {BackendRow[]} backends
 * @property {Running[]} running
 *
 * @typedef {Record<string, boolean|null>} Capabilities
 *
 * @typedef {object} Pair
 * @property {string} backend
 * @property {string} native_id
 * @property {boolean|null} loaded
 * @property {number|null} context_length
 * @property {number|null} context_assumed
 * @property {Capabilities} capabilities
 * @property {number} in_flight
 * @property {number|null} first_byte_seconds
 * @property {number|null} tokens_per_second
 * @property {number} busy_seconds
 * @property {number} resting_seconds
 * @property {string} rest_cause
 *
 * @typedef {object} Model
 * @property {string} id
 * @property {boolean} available
 * @property {string|null} alias_of
 * @property {number|null} context_length
 * @property {Capabilities} capabilities
 * @property {Pair[]} backends
 *
 * @typedef {object} Routing
 * @property {string} strategy
 * @property {{priority: number, load: number, latency: number}} weights
 * @property {string|null} default_model
 * @property {Record<string, string>} aliases
 * @property {Record<string, string[]>} fallbacks
 *
 * @typedef {{models: Model[], routing: Routing}} ModelsState
 *
 * @typedef {object} Summary
 * @property {number} seq grows with each
 * @property {string} id
 * @property {string} surface
 * @property {string} model
 * @property {string} served_model
 * @property {string} backend
 * @property {string} backend_type
 * @property {number} status
 * @property {string} error
 * @property {boolean} streamed
 * @property {number} attempts
 * @property {string|null} reason
 * @property {boolean} fallback
 * @property {number|null} prompt_tokens
 * @property {number|null} completion_tokens
 * @property {boolean} estimated
 * @property {number} started_at
 * @property {number|null} first_byte_seconds
 * @property {number} seconds
 * @property {number|null} overhead_seconds
 * @property {boolean} client_closed
 *
 * @typedef {object} Candidate
 * @property {string} backend
 * @property {string} backend_id
 * @property {string} model
 * @property {number|null} rank
 * @property {boolean} chosen
 * @property {boolean} tried
 * @property {number|null} score
 * @property {{priority: number, load: number, latency: number}|null} terms
 * @property {number|null} in_flight
 * @property {number} slots
 * @property {number} priority
 * @property {number|null} first_byte_seconds
 * @property {boolean} resting
 * @property {boolean} unsure
 * @property {{policy: string, code: string, kind: string, message: string}[]} rejections
 *
 * @typedef {object} Explanation
 * @property {string} requested
 * @property {string} model
 * @property {string[]} chain
 * @property {boolean} pinned the name names a backend
 * @property {boolean} fallback
 * @property {string|null} reason
 * @property {string} strategy
 * @property {{priority: number, load: number, latency: number}} weights
 * @property {string|null} refusal
 * @property {Candidate[]} candidates
 *
 * @typedef {object} Try
 * @property {string} backend
 * @property {string} model
 * @property {string|null} failure
 * @property {number|null} status
 * @property {string} message
 * @property {boolean} sent
 * @property {number} after_seconds from the request to its begin
 * @property {number|null} first_byte_seconds
 * @property {number|null} seconds
 * @property {number|null} retry_after
 *
 * @typedef {object} DetailParts
 * @property {boolean} [running]
 * @property {Record<string, unknown>|null} needs null where the body could not be read
 * @property {Explanation[]} decisions
 * @property {Try[]} tries
 * @property {Record<string, number|null>} timings
 *
 * @typedef {Summary & DetailParts} Detail
 *
 * @typedef {object} TrafficRow
 * @property {string} model
 * @property {string} backend
 * @property {number} requests
 * @property {number} errors
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 * @property {number} first_byte_sum
 * @property {number} first_byte_count
 *
 * @typedef {{at: number, seconds: number, rows: TrafficRow[]}} Bucket
 *
 * @typedef {object} Detection
 * @property {string} url
 * @property {boolean} reachable
 * @property {boolean} serves
 * @property {string|null} type
 * @property {string} version
 * @property {string} evidence
 * @property {string[]} models
 */

export {};
