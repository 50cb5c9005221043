"""The order of the core: each module may import those of earlier lines only."""

LAYERS = (
    "system.processes system.trees",
    "system.temporary",
    "errors system.interrupts run.observer system.quiet run.readahead agent.status "
    "agent.cgroup agent.descendants optionforms system.text system.throttling "
    "results.profile "
    "agent.isolation_numbers agent.environment agent.shelf",
    "options agent.logs backends system.sizes system.files formats making.isolation tensors "
    "statistics.distributions making.unsupported agent.turn agent.isolation_calls "
    "agent.storekeeper",
    "agent.isolation_files",
    "agent.isolation_places",
    "agent.isolation",
    "agent.consumption",
    "wire.frames wire.payloads wire.serialpackets results.words statistics.changepoints "
    "statistics.verdicts statistics.earlystopping statistics.intervals statistics.paired "
    "statistics.percentiles",
    "wire.connections wire.standing wire.states wire.tls wire.seriallink system.certificates "
    "statistics.comparing statistics.dependence statistics.ranking "
    "statistics.agreement statistics.detection statistics.regression statistics.sequential "
    "statistics.steady",
    "run.batches system.download figures system.onnxfiles run.outputs registry wire.macs "
    "wire.serialline "
    "statistics.percentileinterval",
    "wire.trailers wire.writing",
    "wire.channel",
    "results.parts quality",
    "results.settling results.energy results.values detection statistics.pareto",
    "results.known",
    "results.conditions results.externalmeter results.patterns making.toolenvironment",
    "results.measures results.version1 results.disturbances",
    "results.figures results.tables",
    "samples.checks samples.manifest artifact record system.onnxmetadata run.watch",
    "results.answers",
    "results.verdicts",
    "results.gate results.calibration results.capacity",
    "classification system.machine graphs",
    "system.profilefiles system.doctor analysis.macs analysis.liveness analysis.roofline "
    "analysis.matching analysis.microcheck analysis.quantizing",
    "analysis.analysis analysis.micro analysis.boards",
    "analysis.rows analysis.fitting runtime",
    "dataset meter onnxconversion pattern runtimeprotocol system.torchprograms",
    "wire.tokens run.reservations wire.conversation profiles inspects compresses making.runtimes "
    "addresses deploying.shell deploying.wheel",
    "deploying.environment deploying.probing deploying.service",
    "deploying.wheels",
    "deploying.installing",
    "deploying.starting",
    "wire.greeting",
    "wire.client",
    "model wire.profiling",
    "run.feed making.likeness checking.outputs samples.folder",
    "run.evaluation making.trial checking.validation samples.choosing",
    "making.selfcheck making.calibration checking.inputs checking.sides checking.tally "
    "checking.matching checking.operators",
    "compiler checking.findings",
    "run.hostruntime agent.scratch selectivecompiler checking.spans checking.reproducing",
    "making.chain run.localagent checking.layers",
    "making.cache run.requirements checking.scoring checking.cutting",
    "run.plan run.heard checking.ways checking.selective checking.calibrating",
    "run.capabilities",
    "run.deployment",
    "run.dealing run.recording run.targets run.profiling run.measuring",
    "run.tally run.replication run.preparing",
    "run.journal",
    "run.running",
    "run.benchmark run.together run.instructions",
    "run.matrix agent.bench agent.control agent.gate agent.greeter agent.handshake "
    "agent.limits agent.output agent.storage",
    "agent.process agent.profiling checking.validating",
    "checking.diagnosis pipeline.decision pipeline.phases pipeline.runbook pipeline.localproof",
    "pipeline.handmade",
    "pipeline.candidates pipeline.settings",
    "pipeline.devices search.limits search.space search.databases",
    "pipeline.evaluation search.settings search.trial search.leases",
    "search.fronts search.making",
    "search.sweep search.tables search.studies",
    "search.manifest search.optimizing",
    "agent.session agent.service",
    "agent.session_process agent.sessions",
    "agent.desk",
    "agent.reception",
    "agent.supervisor",
    "agent.agent",
)
