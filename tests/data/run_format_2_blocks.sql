-- A run file with blocks, as it was written when runs began to be resumed (format 2).
BEGIN TRANSACTION;
CREATE TABLE block (
    -- One row a block that was judged whole: what a run needs that goes on, or is merged.
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL, -- Its position among the blocks of the whole run.
    content BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO "block" VALUES('conv 1-D',0,X'78016D535F6B143110DF5E77EFAEBDEEB556AD6D6D4105A505BD42FD8328C56285CA2D1EE29B0FA5E476D34BEC5EB224BB575B38D087B61EE4CDF81D04C1671F8B82DFC257C117F52338C9DEF50FB8309BCCE497C9CCFC66DE781F365CC77E6A26E46C8B8B366221AE898C31CA5AB566CCC36DADBCC7767DAF17DFEA46572FA8324FB04029175AB970AF034B44DB520743CA0B711C4BBD01A8E9FFB934C7005F33CB89C32A6D27316E6396A29472A65591B697431E6BE291222919BF51BA9B60AD4A5B3147E9ED65D82531620C473AF055496014927C5F0E793B4122572A1993599270911ADD51231DCA637883B58C56A2AC83626A4FCA280C71D28795711E8DD4F5BB95020019677B58701D8C296F870B99EAF5473FFEF8DFBBDFEEA8516BD80C9184F8264E279D9BDC3573629385B2906230141482E2A1863FEC0E75AF110CEFEB6038281C68589D7D4DAE0785DE3B32A9DC1D1A611DBC54A3E036A5AD8C67522B472FE2A62A490CC6484224475373E37F1D478DF6B3E3CC30A04A21EF60530855815AC63834B585FBA5359EB1140B88A90B2FBED06A2463032CDC0334EB0017166DFCC8942709F8E9A9E128C39A2C77B5AA72115186C4EE951019C6035F5A571E92DB003518B232301665CE88B15A5431A6D2D41A1CF928425077B1B92338D0D2CB0E74938CF55B8D8C2B8F21DA8147FB9D40CE9149723EF0C905908B205381432E814C83CC80CC5ACAC8E5608CCC1D9344E6C95572737DF5C6CF95CDEA91436E6D68B2348886DC03ED3EC8831E79782670B27A567D727CE529A457B7B162E5B650226DC679051244852560F67433C0506DD118D752D48C31B0E03E07D8495B4C9006B4866F83B7BFF57C321DA7819B4879320146EC230B6A2411180A6ABAB8FE757ECF51D55759D402F54A7F6CEA1F7F0F39CA1F58F30AD6AF7DF9ECA8628C763184F7EC53A8C6F3513117F398EBBF22D7C96C1665FC1A99A194C011494C57C08064D2CEA7498E2C01771EE3A9452837E571649AAE424D6B89CC8E922D50ED1FDD70A945');
CREATE TABLE call (
    -- What came of each call of a model, whose suite was given as a file. The last rows are what of
    -- the model is no call of an operator.
    "implementation" TEXT NOT NULL,
    "suite" TEXT NOT NULL,
    -- Its name in the suite.
    "call" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "dims" INTEGER NOT NULL,
    "dtype" TEXT NOT NULL,
    -- How often the model makes it.
    "count" INTEGER NOT NULL,
    -- The layers that make it, by commas.
    "layers" TEXT NOT NULL,
    -- How many they are.
    "layer_count" INTEGER NOT NULL,
    -- The worst verdict on its cases | known difference | not judged | no call of an operator.
    "status" TEXT NOT NULL,
    -- What it violates, or nothing.
    "requirement" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    -- The case that decided, or nothing.
    "case" TEXT NOT NULL,
    -- How many cases of it were judged, of several kinds of data.
    "judged" INTEGER NOT NULL,
    -- How many there are that the implementation computes.
    "due" INTEGER NOT NULL,
    -- The largest share of its output elements that a case had.
    "share" REAL NOT NULL
);
CREATE TABLE cell (
    -- One row for each implementation, operator, number of spatial dimensions and dtype.
    "implementation" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "dims" INTEGER NOT NULL,
    "dtype" TEXT NOT NULL,
    -- Cases of the cell.
    "planned" INTEGER NOT NULL,
    -- How many of them the time budget reached: compared + unsupported, and those that are known to
    -- end the process, which are counted as known and not called.
    "reached" INTEGER NOT NULL,
    "compared" INTEGER NOT NULL,
    "unsupported" INTEGER NOT NULL,
    -- Failures.
    "violating" INTEGER NOT NULL,
    -- Further failures, which a known difference covers; the table known has the reasons.
    "known" INTEGER NOT NULL DEFAULT 0,
    -- Invalid calls among those compared.
    "invalid" INTEGER NOT NULL DEFAULT 0,
    -- Those of them that were not rejected.
    "accepted" INTEGER NOT NULL DEFAULT 0,
    -- Output elements compared.
    "elements" INTEGER NOT NULL,
    -- Cases compared whose exact result is not all zero.
    "nonzero" INTEGER NOT NULL,
    -- The largest error as a fraction of the bound: 0 where the result is exact, or where nothing
    -- was compared.
    "worst" REAL,
    "worst_case" TEXT,
    "seconds" REAL NOT NULL,
    "verdict" TEXT NOT NULL,
    -- JSON: of each class of cases how many were due (planned, and supported) and compared.
    "classes" TEXT NOT NULL DEFAULT '{}',
    -- JSON: of each class of cases that are listed completely, which in words, and how many.
    "spaces" TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY ("implementation", "operator", "dims", "dtype")
) WITHOUT ROWID;
INSERT INTO "cell" VALUES('im2col','conv',1,'float32',13,13,13,0,0,0,0,0,133941,12,4.67715686644669448313e-01,'conv1d:float32:x=1,2,6:w=2,1,2:stride=3:padding=3/2:dilation=3:groups=2:wide@89',1.25674732000334188342e-01,'conforms','{"ordinary calls": [13, 13]}','{}');
INSERT INTO "cell" VALUES('naive','conv',1,'float32',13,13,13,0,0,0,0,0,133941,12,4.67715686644669448313e-01,'conv1d:float32:x=1,2,6:w=2,1,2:stride=3:padding=3/2:dilation=3:groups=2:wide@89',1.14496869760041590784e+01,'conforms','{"ordinary calls": [13, 13]}','{}');
CREATE TABLE convention (
    -- Which alternative of each convention, and which class of accuracy, the probes saw. One row for
    -- each implementation, convention, operator, dims and dtype.
    "implementation" TEXT NOT NULL,
    "convention" TEXT NOT NULL,
    "requirement" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "dims" INTEGER NOT NULL,
    "dtype" TEXT NOT NULL,
    "declared" TEXT NOT NULL,
    -- An alternative | either | mixed | neither | not asked.
    "followed" TEXT NOT NULL,
    -- Whether declared allows what is followed.
    "agrees" INTEGER NOT NULL,
    -- Cases that could tell.
    "probes" INTEGER NOT NULL,
    -- The one that decided, or nothing.
    "case" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    -- Whether nothing is declared: that is the default then.
    "by_default" INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY ("implementation", "convention", "operator", "dims", "dtype")
) WITHOUT ROWID;
CREATE TABLE implementation (
    -- What an implementation declares, and the verdict on it.
    "name" TEXT NOT NULL,
    "family" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "layout" TEXT NOT NULL,
    "accumulate" TEXT,
    "multiply" TEXT,
    "error" TEXT NOT NULL,
    "rounding" TEXT NOT NULL DEFAULT 'nearest',
    -- How its engine was told to compute, where its users may have it otherwise.
    "settings" TEXT NOT NULL DEFAULT '',
    -- The versions of Python, NumPy and the packages that it needs, where it runs.
    "environment" TEXT NOT NULL DEFAULT '',
    -- conforms | violates | known difference | unsupported | inconclusive | not installed | adapter
    -- wrong (it fails the simplest cases, so that its engine was not judged).
    "verdict" TEXT NOT NULL,
    -- Why it was not called (any more), that the clock ended some of its cells, or on how few cases
    -- it was judged since it compiles for each shape.
    "note" TEXT NOT NULL,
    PRIMARY KEY ("name")
) WITHOUT ROWID;
INSERT INTO "implementation" VALUES('im2col','numpy','0.1.0','NCHW',NULL,NULL,'componentwise','nearest','','python 3.11.7, numpy 2.4.6','conforms','');
INSERT INTO "implementation" VALUES('naive','numpy','0.1.0','NCHW',NULL,NULL,'componentwise','nearest','','python 3.11.7, numpy 2.4.6','conforms','');
CREATE TABLE known (
    -- The known differences on the lists of the implementations, and whether they still occur.
    "implementation" TEXT NOT NULL,
    "requirement" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    -- The one that shows it, of the operator.
    "case" TEXT NOT NULL,
    -- Which cases it may show in, and on which machines.
    "covers" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "link" TEXT NOT NULL,
    -- Those that have it; empty for all.
    "versions" TEXT NOT NULL,
    -- known difference (it occurs) | stale (its case was judged, and nothing shows it) | not judged
    -- | other version | other machine.
    "status" TEXT NOT NULL,
    -- How many failures of the run it covers.
    "count" INTEGER NOT NULL,
    -- What its case showed.
    "message" TEXT NOT NULL,
    "script" TEXT NOT NULL,
    "engine_script" TEXT NOT NULL,
    "replay" TEXT NOT NULL
);
CREATE TABLE layer (
    -- One row for each implementation and large case: a layer of a network, or a generated shape.
    -- The name of a generated shape is its case id.
    "implementation" TEXT NOT NULL,
    "layer" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "dims" INTEGER NOT NULL,
    -- The one that was judged: the layer, or a smaller one like it.
    "case" TEXT NOT NULL,
    -- How many of the layer's output elements it has.
    "share" REAL NOT NULL,
    -- A verdict on the case.
    "status" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    -- Of calling and checking.
    "seconds" REAL NOT NULL,
    PRIMARY KEY ("implementation", "layer")
) WITHOUT ROWID;
CREATE TABLE pair (
    -- Outputs of two implementations on the cases of an operator that both computed.
    "first" TEXT NOT NULL,
    "second" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "cases" INTEGER NOT NULL,
    "elements" INTEGER NOT NULL,
    -- Elements that are equal bit for bit.
    "identical" INTEGER NOT NULL,
    -- The largest difference as a multiple of the bound of correct arithmetic in the dtype.
    "largest" REAL,
    -- The case that has it.
    "largest_case" TEXT,
    PRIMARY KEY ("first", "second", "operator")
) WITHOUT ROWID;
INSERT INTO "pair" VALUES('im2col','naive','conv',13,133941,133941,0.0,NULL);
CREATE TABLE run (
    -- One row a fact about the whole run: format, seed, tier, examples, suites, spec, command,
    -- started (ISO 8601, UTC), machine (an object: cpu, its cpu_features, cores, system,
    -- platform, python, threads, packages), finished (ISO 8601, UTC; written last).
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "run" VALUES('blocks','["conv 1-D"]');
INSERT INTO "run" VALUES('checks','["result"]');
INSERT INTO "run" VALUES('command','null');
INSERT INTO "run" VALUES('dims','[1]');
INSERT INTO "run" VALUES('dtypes','["float32"]');
INSERT INTO "run" VALUES('examples','4');
INSERT INTO "run" VALUES('finished','"2026-11-30T11:44:40+00:00"');
INSERT INTO "run" VALUES('format','2');
INSERT INTO "run" VALUES('identity','{"shard": null, "suite": "144a961692e1e9146dd4d9a1a982a8bf", "spec": "6e27a04392fbff2d", "seed": 0, "tier": "default", "examples": 4, "operators": ["conv"], "dims": [1], "dtypes": ["float32"], "checks": ["result"], "suites": [], "only_suites": false, "layers": [], "shapes": 0, "enumerations": [], "source": null, "models": [], "known": "4f53cda18c2baa0c", "seconds": 2.0, "implementations": {"im2col": ["0.1.0", "9c88d12737346b19"], "naive": ["0.1.0", "cfaab6cd6f1a81ea"]}}');
INSERT INTO "run" VALUES('layers','[]');
INSERT INTO "run" VALUES('machine','{"cpu": "some", "cores": 2}');
INSERT INTO "run" VALUES('operators','["conv"]');
INSERT INTO "run" VALUES('seconds','2.0');
INSERT INTO "run" VALUES('seed','0');
INSERT INTO "run" VALUES('shape_seconds','{}');
INSERT INTO "run" VALUES('shapes','0');
INSERT INTO "run" VALUES('spec','{"source": "default", "digest": "6e27a04392fbff2d"}');
INSERT INTO "run" VALUES('spent','{"preparing": 8.00301, "judging im2col": 0.126632, "judging naive": 11.450402, "layers": 0.025515, "comparing pairs": 0.287977}');
INSERT INTO "run" VALUES('started','"2026-11-30T11:44:19+00:00"');
INSERT INTO "run" VALUES('suites','[]');
INSERT INTO "run" VALUES('tier','"default"');
CREATE TABLE source (
    -- Which lines of an implementation's own source calls have reached, one row for each file. Lines
    -- are those of statements inside functions that the judged operators use.
    "implementation" TEXT NOT NULL,
    "file" TEXT NOT NULL,
    "statements" INTEGER NOT NULL,
    -- How many of them a call has executed that returned.
    "executed" INTEGER NOT NULL,
    -- The lines that no call has executed: 41-47, 52.
    "never" TEXT NOT NULL,
    -- The lines that only calls have executed which raised.
    "raising" TEXT NOT NULL,
    -- The lines of each if without else whose condition was never false.
    "always" TEXT NOT NULL,
    -- The numbers that no case is cheap enough for, as a size.
    "beyond" TEXT NOT NULL,
    -- Whether some calls were not measured, being slow.
    "partial" INTEGER NOT NULL,
    PRIMARY KEY ("implementation", "file")
) WITHOUT ROWID;
CREATE TABLE timing (
    -- How long each implementation takes for each layer timed: seconds of one call.
    "implementation" TEXT NOT NULL,
    "layer" TEXT NOT NULL,
    "case" TEXT NOT NULL,
    -- Timed calls, the warm-up left out.
    "calls" INTEGER NOT NULL,
    "median" REAL,
    -- The first quartile.
    "lower" REAL,
    -- The third quartile.
    "upper" REAL,
    -- The median, over the rounds in which both were called, of its time over the baseline's.
    "ratio" REAL,
    -- Multiply-accumulates of a call, padding included; for a pool, elements of its windows.
    "macs" INTEGER NOT NULL,
    -- 2 * macs / median, in 10**9 a second; None for a pool.
    "gflops" REAL,
    -- gflops as a share of the matrix-product rate measured in the same run.
    "peak" REAL,
    "threads" INTEGER NOT NULL,
    -- conforms, or what is wrong with the outputs of its calls.
    "verified" TEXT NOT NULL,
    PRIMARY KEY ("implementation", "layer")
) WITHOUT ROWID;
CREATE TABLE unsupported (
    -- Why cases were not computed, and how many.
    "implementation" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "count" INTEGER NOT NULL
);
CREATE TABLE violation (
    -- The smallest case of each violated requirement of a cell.
    "implementation" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "dims" INTEGER NOT NULL,
    "dtype" TEXT NOT NULL,
    "requirement" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    -- How bad it is: values | state | layouts | declarations | invalid. Empty in older files: then
    -- it follows from requirement, status and case.
    "severity" TEXT NOT NULL DEFAULT '',
    "case" TEXT NOT NULL,
    -- The case that first showed it, before it was shrunk.
    "found" TEXT NOT NULL,
    -- What the cases that show it are called in the user's own suites, or nothing.
    "named" TEXT NOT NULL DEFAULT '',
    -- How many of the cell's cases violate the requirement.
    "count" INTEGER NOT NULL,
    "message" TEXT NOT NULL,
    -- A standalone reproducer.
    "script" TEXT NOT NULL,
    -- The command that judges the case again.
    "replay" TEXT NOT NULL,
    -- A reproducer in ten lines at most that uses the engine alone; empty where there is none.
    "engine_script" TEXT NOT NULL DEFAULT '',
    -- The type of what was raised, or how the process ended, and the line where it did: ValueError
    -- at mine.py:12. Empty for a wrong result.
    "cause" TEXT NOT NULL DEFAULT '',
    -- What the case needs to fail: padding, several channels.
    "needs" TEXT NOT NULL DEFAULT '',
    -- How many of the cases were not called, since this cause ends the process.
    "not_called" INTEGER NOT NULL DEFAULT 0,
    -- How often the smallest case was called by itself; 0 where it was not repeated.
    "times_called" INTEGER NOT NULL DEFAULT 0,
    -- How often it failed then.
    "times_failed" INTEGER NOT NULL DEFAULT 0,
    -- The calls that must come before it in the process, where it needs any; a line each.
    "after" TEXT NOT NULL DEFAULT '',
    -- The last calls that came before it in the process, where it did not fail again; a line each.
    "before" TEXT NOT NULL DEFAULT ''
);
CREATE TABLE witness (
    -- What each implementation makes of the smallest case that shows a violation of another's. Or a
    -- known difference: one case for each requirement and operator, whoever's it is.
    "implementation" TEXT NOT NULL,
    "requirement" TEXT NOT NULL,
    "operator" TEXT NOT NULL,
    "case" TEXT NOT NULL,
    -- conforms | violates | unsupported | crashed | timed out.
    "status" TEXT NOT NULL,
    -- The requirement that this implementation violates there, or nothing.
    "cited" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "engine_script" TEXT NOT NULL,
    PRIMARY KEY ("implementation", "requirement", "operator")
) WITHOUT ROWID;
COMMIT;
