package api

import (
	"math"
	"strconv"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

var pipelineStates = []pipeline.State{pipeline.Starting, pipeline.Running, pipeline.Waiting, pipeline.Paused, pipeline.Draining, pipeline.Stopped}

func ofPipeline(read func(*pipeline.Snapshot) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Pipeline != nil {
			emit(read(s.Pipeline))
		}
	}
}

func ofPartitions(read func(*pipeline.Partition) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Pipeline == nil {
			return
		}
		for i := range s.Pipeline.Partitions[:min(len(s.Pipeline.Partitions), maxPartitionSeries)] {
			p := &s.Pipeline.Partitions[i]
			emit(read(p), strconv.Itoa(int(p.Partition)))
		}
	}
}

func ofQuantiles(read func(*pipeline.Snapshot) pipeline.Quantiles) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Pipeline == nil {
			return
		}
		q := read(s.Pipeline)
		if q.Count == 0 {
			return
		}
		for _, at := range []struct {
			percentile string
			ms         float64
		}{{"50", q.P50}, {"90", q.P90}, {"99", q.P99}, {"100", q.Max}} {
			emit(at.ms/1e3, at.percentile)
		}
	}
}

var partitionLabel, percentileLabel = []string{"partition"}, []string{"percentile"}

var pipelineFamilies = []family{
	{"pipeline_state", "1 for the state the pipeline is in, 0 for the others.", gauge, []string{"state"},
		func(s *timeline.Snapshot, emit emitter) {
			if s.Pipeline == nil {
				return
			}
			for _, state := range pipelineStates {
				emit(truth(s.Pipeline.State == state), string(state))
			}
		}},
	{"pipeline_consumed_total", "Records taken from the broker.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Consumed) })},
	{"pipeline_predicted_total", "Predictions acknowledged by the broker.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Predicted) })},
	{"pipeline_dead_lettered_total", "Dead letters acknowledged by the broker.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.DeadLettered) })},
	{"pipeline_redelivered_total", "Records taken again after a rebalance or a restart.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Redelivered) })},
	{"pipeline_overtaken_total", "Records deleted by the topic's retention before the group took them.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Overtaken) })},
	{"pipeline_stalls_total", "Memberships of the group started over because partitions stood still for no reason known.", counter, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Stalls) })},
	{"pipeline_lag_records", "Records behind the high watermark, over the partitions assigned to this process.", gauge, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return float64(p.Lag) })},
	{"pipeline_group_lag_records", "Records behind the high watermark over the whole group, other members' partitions included, as the broker says.", gauge, nil,
		ofPipeline(func(p *pipeline.Snapshot) float64 { return known(int(p.GroupLag)) })},
	{"pipeline_drain_seconds", "Time until the lag is gone at the pace of the last seconds; no series while it does not fall.", gauge, nil,
		ofPipeline(func(p *pipeline.Snapshot) float64 {
			if p.DrainsIn == pipeline.Never {
				return math.NaN()
			}
			return p.DrainsIn.Seconds()
		})},
	{"pipeline_events_per_second", "Predictions and dead letters acknowledged in the last second or so.", gauge, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return p.EventsPerSecond })},
	{"pipeline_end_to_end_seconds", "Percentiles over the last minute of the time from an event's own timestamp to its acknowledged prediction.", gauge, percentileLabel,
		ofQuantiles(func(p *pipeline.Snapshot) pipeline.Quantiles { return p.EndToEnd })},
	{"pipeline_processing_seconds", "Percentiles over the last minute of the time from taking a record to its acknowledged prediction.", gauge, percentileLabel,
		ofQuantiles(func(p *pipeline.Snapshot) pipeline.Quantiles { return p.Processing })},
	{"pipeline_partition_offset", "The next offset to be committed: all below it are acknowledged.", gauge, partitionLabel, ofPartitions(func(p *pipeline.Partition) float64 { return float64(p.Offset) })},
	{"pipeline_partition_high_watermark", "The offset the next record of the partition gets.", gauge, partitionLabel, ofPartitions(func(p *pipeline.Partition) float64 { return float64(p.HighWatermark) })},
	{"pipeline_partition_lag_records", "Records behind the high watermark.", gauge, partitionLabel, ofPartitions(func(p *pipeline.Partition) float64 { return float64(p.Lag) })},
	{"pipeline_partition_ok", "1 where the verdict on the partition's lag is ok, 0 where it is warn, stall, stop or rewind.", gauge, partitionLabel,
		ofPartitions(func(p *pipeline.Partition) float64 { return truth(p.Verdict == pipeline.VerdictOK) })},
	{"prediction_psi", "Population stability index of the last minute's predictions against the baseline.", gauge, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return p.PSI })},
	{"prediction_psi_threshold", "What the index would exceed by chance once in a thousand.", gauge, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return p.PSIThreshold })},
	{"model_info", "The model in force, as labels; always 1.", gauge, []string{"version", "kind"},
		func(s *timeline.Snapshot, emit emitter) {
			if s.Pipeline != nil && !s.Pipeline.Model.Version.IsEmpty() {
				emit(1, s.Pipeline.Model.Version.String(), s.Pipeline.Model.Kind.String())
			}
		}},
	{"model_score_seconds", "Mean time to score one event over the last batches.", gauge, nil, ofPipeline(func(p *pipeline.Snapshot) float64 { return p.Model.ScoreMicros / 1e6 })},
}

func ofFeatures(read func(*pipeline.Features) float64) func(*timeline.Snapshot, emitter) {
	return ofPipeline(func(p *pipeline.Snapshot) float64 { return read(&p.Features) })
}

func ofDrift(read func(*pipeline.FeatureDrift) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Pipeline == nil {
			return
		}
		for i := range s.Pipeline.Features.Drift {
			d := &s.Pipeline.Features.Drift[i]
			emit(read(d), d.Name.String())
		}
	}
}

var featureLabel = []string{"feature"}

var featureFamilies = []family{
	{"feature_psi", "Population stability index of the feature's last minute against its baseline.", gauge, featureLabel,
		ofDrift(func(d *pipeline.FeatureDrift) float64 { return d.PSI })},
	{"feature_psi_threshold", "What the index would exceed by chance once in a thousand.", gauge, featureLabel,
		ofDrift(func(d *pipeline.FeatureDrift) float64 { return d.Threshold })},
	{"feature_missing_ratio", "Share of the feature's values in the last minute that were not present, 0 to 1.", gauge, featureLabel,
		ofDrift(func(d *pipeline.FeatureDrift) float64 { return d.Missing })},
	{"features_up", "1 where the last request to the feature store was answered, slowly or not; 0 where it failed.", gauge, nil,
		ofFeatures(func(f *pipeline.Features) float64 {
			switch f.State {
			case "ok", "slow":
				return 1
			case "down":
				return 0
			}
			return math.NaN() // nothing was asked yet
		})},
	{"features_cache_hits_total", "Entities answered by the cache.", counter, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.Hits) })},
	{"features_cache_misses_total", "Entities asked of the feature store.", counter, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.Misses) })},
	{"features_cache_rows", "Rows in the cache.", gauge, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.CacheLength) })},
	{"features_missing_total", "Feature values that were not present.", counter, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.Missing) })},
	{"features_requests_total", "Requests to the feature store, retries included.", counter, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.Requests) })},
	{"features_request_errors_total", "Requests to the feature store that failed.", counter, nil, ofFeatures(func(f *pipeline.Features) float64 { return float64(f.Errors) })},
	{"features_request_seconds", "Percentiles over the last minute of the time a request to the feature store took.", gauge, percentileLabel,
		func(s *timeline.Snapshot, emit emitter) {
			if s.Pipeline == nil || s.Pipeline.Features.LatencyP99 <= 0 {
				return
			}
			emit(s.Pipeline.Features.LatencyP50/1e3, "50")
			emit(s.Pipeline.Features.LatencyP99/1e3, "99")
		}},
}
