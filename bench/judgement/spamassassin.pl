#!/usr/bin/perl
# SpamAssassin on the folds that `sekisho eval --scores FILE` used, for the comparison beside it.
#
#   spamassassin.pl [--bayes] FOLDS > SCORES
#
# FOLDS: a line for each mail, tab-separated: file, label (ham or spam), fold. SCORES: file, label, fold, points, hits.
# Local tests only (-L): no network is asked. With --bayes each fold is judged by a database that was
# trained on the other folds alone and learns nothing by itself. An mbox "From " line is taken off.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Mail::SpamAssassin;

my $bayes = @ARGV && $ARGV[0] eq '--bayes' ? shift @ARGV : undef;
my $list = shift @ARGV or die "usage: spamassassin.pl [--bayes] FOLDS\n";
open(my $in, '<', $list) or die "$list: $!\n";
my @mails = map { chomp; [split /\t/] } grep { !/^#/ } <$in>;
my %folds = map { $_->[2] => 1 } @mails;

sub octets {
    my ($file) = @_;
    open(my $mail, '<:raw', $file) or die "$file: $!\n";
    local $/;
    my $octets = <$mail>;
    $octets =~ s/\AFrom [^\n]*\n//;
    return $octets;
}

sub engine {
    my ($directory) = @_;
    my $settings = "use_bayes " . ($bayes ? 1 : 0) . "\nbayes_auto_learn 0\n"
        . "bayes_path $directory/bayes\nuse_auto_whitelist 0\nuse_txrep 0\n";
    return Mail::SpamAssassin->new({
        local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => '/dev/null',
        userstate_dir => $directory, home_dir_for_helpers => $directory,
        post_config_text => $settings,
    });
}

sub learn {
    my ($engine, $fold) = @_;
    $engine->init_learner({ caller_will_untie => 1 });
    for my $mail (grep { $_->[2] ne $fold } @mails) {
        my $parsed = $engine->parse(octets($mail->[0]));
        $engine->learn($parsed, undef, $mail->[1] eq 'spam' ? 1 : 0, 0)->finish();
        $parsed->finish();
    }
    $engine->rebuild_learner_caches();
    $engine->finish_learner();
}

$| = 1;
for my $fold (sort { $a <=> $b } keys %folds) {
    my $directory = tempdir(CLEANUP => 1);
    my $engine = engine($directory);
    $engine->compile_now(0);
    learn($engine, $fold) if $bayes;
    for my $mail (grep { $_->[2] eq $fold } @mails) {
        my $parsed = $engine->parse(octets($mail->[0]));
        my $status = $engine->check($parsed);
        print join("\t", @{$mail}[0 .. 2], $status->get_score(), $status->get_names_of_tests_hit()), "\n";
        $status->finish();
        $parsed->finish();
    }
    $engine->finish();
}
