#!/usr/bin/perl
# SpamAssassin on the folds that `sekisho eval --scores FILE` used, for the comparison beside it.
#
#   spamassassin.pl [--bayes] FOLDS > SCORES
#
# FOLDS: a line for each mail, tab-separated: file, label (ham or spam), fold. SCORES: file, label, fold, points, hits.
# Local tests only (-L): no network is asked. With --bayes each fold is judged by a database that was
# trained on the other folds alone and learns nothing by itself: all mails are learned once, each fold is forgotten
# before it is judged and learned again after it, a third of the work of ten databases. Nothing expires in it. An
# mbox "From " line is taken off.
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
    my $settings = "use_bayes " . ($bayes ? 1 : 0) . "\nbayes_auto_learn 0\nbayes_auto_expire 0\n"
        . "bayes_path $directory/bayes\nuse_auto_whitelist 0\nuse_txrep 0\n";
    return Mail::SpamAssassin->new({
        local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => '/dev/null',
        userstate_dir => $directory, home_dir_for_helpers => $directory,
        post_config_text => $settings,
    });
}

# Learns mails, or forgets them. An engine that has judged learns no more: each has its own.
sub learn {
    my ($directory, $forget, @taught) = @_;
    my $engine = engine($directory);
    $engine->init_learner({ caller_will_untie => 1 });
    for my $mail (@taught) {
        my $parsed = $engine->parse(octets($mail->[0]));
        $engine->learn($parsed, undef, $mail->[1] eq 'spam' ? 1 : 0, $forget)->finish();
        $parsed->finish();
    }
    $engine->finish_learner();
    $engine->finish();
}

$| = 1;
my $directory = tempdir(CLEANUP => 1);
learn($directory, 0, @mails) if $bayes;
for my $fold (sort { $a <=> $b } keys %folds) {
    my @held_out = grep { $_->[2] eq $fold } @mails;
    learn($directory, 1, @held_out) if $bayes;
    my $engine = engine($directory);
    $engine->compile_now(0);
    for my $mail (@held_out) {
        my $parsed = $engine->parse(octets($mail->[0]));
        my $status = $engine->check($parsed);
        print join("\t", @{$mail}[0 .. 2], $status->get_score(), $status->get_names_of_tests_hit()), "\n";
        $status->finish();
        $parsed->finish();
    }
    $engine->finish();
    learn($directory, 0, @held_out) if $bayes;
}
